package netproxy

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers every line with the same line.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T, phases ...Phase) *Proxy {
	t.Helper()
	p, err := Start(echo(t), phases)
	require.NoError(t, err)
	t.Cleanup(p.Shutdown)
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func say(c net.Conn, line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

func TestBytesPassUnchanged(t *testing.T) {
	p := start(t)
	c := dial(t, p)
	for _, line := range []string{"one", "two"} {
		got, err := say(c, line)
		require.NoError(t, err)
		assert.Equal(t, line+"\n", got)
	}
}

func TestADelayCountsInBothDirections(t *testing.T) {
	p := start(t)
	p.enter(&Phase{Delay: 30 * time.Millisecond})
	c := dial(t, p)
	begun := time.Now()
	_, err := say(c, "late")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(begun), 60*time.Millisecond)
}

func TestBandwidthIsLimited(t *testing.T) {
	p := start(t)
	p.enter(&Phase{BytesPerSecond: 1 << 20})
	c := dial(t, p)
	begun := time.Now()
	go func() { _, _ = c.Write(make([]byte, 256<<10)) }()
	_, err := io.ReadFull(c, make([]byte, 256<<10))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(begun), 200*time.Millisecond)
}

func TestACutEndsConnectionsOnce(t *testing.T) {
	p := start(t)
	c := dial(t, p)
	_, err := say(c, "x")
	require.NoError(t, err)
	p.enter(&Phase{Cut: true})
	_, err = say(c, "y")
	require.Error(t, err)
	got, err := say(dial(t, p), "again")
	require.NoError(t, err)
	assert.Equal(t, "again\n", got)
}

func TestDownRefusesAndComesBackOnTheSamePort(t *testing.T) {
	p := start(t)
	p.enter(&Phase{Down: true})
	_, err := net.Dial("tcp", p.Address())
	require.Error(t, err)
	p.enter(&Phase{})
	got, err := say(dial(t, p), "back")
	require.NoError(t, err)
	assert.Equal(t, "back\n", got)
}

func TestABlackHoleAcceptsAndIsSilent(t *testing.T) {
	p := start(t)
	old := dial(t, p)
	_, err := say(old, "x")
	require.NoError(t, err)
	p.enter(&Phase{BlackHole: true})
	for _, c := range []net.Conn{old, dial(t, p)} {
		require.NoError(t, c.SetDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := say(c, "anyone?")
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
	}
	p.enter(&Phase{})
	require.NoError(t, old.SetDeadline(time.Time{}))
	got, err := bufio.NewReader(old).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "anyone?\n", got, "what was sent meanwhile arrives when the hole closes")
}

func TestPhasesBeginInOrderOfTheirTime(t *testing.T) {
	p := start(t, Phase{At: 40 * time.Millisecond, Delay: 2}, Phase{At: 0, Delay: 1})
	assert.EqualValues(t, 1, p.phase.Load().Delay, "what begins at 0 holds before the clock starts")
	p.Begin()
	require.Eventually(t, func() bool { return p.phase.Load().Delay == 2 }, 5*time.Second, time.Millisecond)
}

func TestAnAbsentTargetEndsTheConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	p, err := Start(l.Addr().String(), nil)
	require.NoError(t, err)
	defer p.Shutdown()
	_, err = say(dial(t, p), "hello")
	require.Error(t, err)
}

func TestAPhaseReportsEveryFault(t *testing.T) {
	require.NoError(t, (&Phase{}).Validate())
	err := (&Phase{At: -1, Delay: -1, BytesPerSecond: -1, Down: true, BlackHole: true}).Validate()
	for _, message := range []string{"`at`", "`delay`", "`bytes_per_second`", "exclude each other"} {
		require.ErrorContains(t, err, message)
	}
}
