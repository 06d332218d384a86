package tcpproxy

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startEcho serves connections that send back what they get.
func startEcho(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestConnectionsFailOneByOne(t *testing.T) {
	p, err := Start(startEcho(t))
	require.NoError(t, err)
	defer p.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.Address())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	echo := func(c net.Conn) error {
		require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	first, second, third := dial(), dial(), dial()
	for _, c := range []net.Conn{first, second, third} {
		require.NoError(t, echo(c))
	}
	p.Conns()[0].Swallow()
	p.Conns()[1].Kill()

	_, err = first.Write([]byte("x"))
	require.NoError(t, err, "open, as far as the client can see")
	require.NoError(t, first.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = first.Read(make([]byte, 1))
	var netErr net.Error
	require.ErrorAs(t, err, &netErr)
	assert.True(t, netErr.Timeout())
	require.Error(t, echo(second))
	require.NoError(t, echo(third))

	require.NoError(t, first.Close())
	for _, c := range p.Conns()[:2] {
		select {
		case <-c.Closed():
		case <-time.After(10 * time.Second):
			t.Fatal("the proxy does not say that the connection has ended")
		}
	}
}

func TestNobodyBehindTheProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p, err := Start(l.Addr().String())
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, l.Close())
	c, err := net.Dial("tcp", p.Address())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
	assert.Empty(t, p.Conns())
}

// lateListener accepts a connection only when the proxy has closed those that it knows.
type lateListener struct {
	net.Listener
	proxy    *Proxy
	accepted chan net.Conn
}

func (*lateListener) Close() error { return nil }

func (l *lateListener) Accept() (net.Conn, error) {
	for closed := false; !closed; runtime.Gosched() {
		l.proxy.mu.Lock()
		closed = l.proxy.closed
		l.proxy.mu.Unlock()
	}
	c, more := <-l.accepted
	if !more {
		return nil, net.ErrClosed
	}
	return c, nil
}

func TestCloseDoesNotWaitForAConnectionAcceptedMeanwhile(t *testing.T) {
	client, remote := net.Pipe()
	defer remote.Close()
	p := &Proxy{target: startEcho(t)}
	l := &lateListener{proxy: p, accepted: make(chan net.Conn, 1)}
	l.accepted <- client
	close(l.accepted)
	p.listener = l
	p.all.Go(p.accept)
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("it waits")
		_ = client.Close()
	}
	require.Len(t, p.Conns(), 1)
}
