package unarygrpc

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// start begins a call and sends the beginning of its message.
func (c *client) start(id uint32, announced, sent int) {
	c.open(id)
	c.sent(c.framer.WriteData(id, false, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(announced)), make([]byte, sent)...)))
}

func TestMessagesBeyondTheBudgetAreRefused(t *testing.T) {
	budget := bufpool.NewBudget(100_000)
	_, address := serve(t, Config{Budget: budget, Enforcement: anyPings}, accept)
	c := dial(t, address)
	c.start(1, 60_000, 16_000)
	c.start(3, 60_000, 16_000)
	got := c.outcome(3)
	assert.Equal(t, codes.Unavailable, got.code, got.text)
	assert.EqualValues(t, 1, budget.Refused())
	c.call(5, "small")
	c.answered(5)
	c.sent(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
	c.start(7, 60_000, 10_000)
	c.pong()
	assert.EqualValues(t, 40_000, budget.Held(), "that of the call that was given up came back")
	for range 5 {
		c.sent(c.framer.WriteData(7, false, make([]byte, 10_000)))
	}
	c.sent(c.framer.WriteData(7, true, nil))
	c.answered(7)
	assert.Zero(t, budget.Held())
}

func TestWhatIsDecompressedIsInTheBudget(t *testing.T) {
	budget := bufpool.NewBudget(1 << 20)
	_, address := serve(t, Config{Budget: budget}, accept)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(make([]byte, 3<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	compressed := message(packed.String())
	compressed[0] = 1

	c := dial(t, address)
	c.start(1, 60_000, 16_000)
	c.open(3, "grpc-encoding", "gzip")
	c.sent(c.framer.WriteData(3, true, compressed))
	assert.Equal(t, codes.Unavailable, c.outcome(3).code)
	c.sent(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
	c.open(5, "grpc-encoding", "gzip")
	c.sent(c.framer.WriteData(5, true, compressed))
	c.answered(5) // alone it may be larger
	assert.Zero(t, budget.Held())
}

// wantRoom asks in vain for what another message would take.
func wantRoom(t *testing.T, budget *bufpool.Budget) {
	synctest.Wait() // what has been sent is read
	other := budget.Reserve()
	require.False(t, other.Grow(1<<20))
}

func TestSlowMessagesMakeRoom(t *testing.T) {
	for name, test := range map[string]struct {
		limit           int64
		wanted, refused bool
	}{"tight": {100_000, true, true}, "nobody else wants room": {100_000, false, false}, "room enough": {200_000, true, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget := bufpool.NewBudget(test.limit)
				s := New(withMethod(t, Config{Budget: budget}, accept))
				defer s.Stop()
				c := pipe(t, s)
				c.shake()
				c.start(1, 60_000, 16_000)
				if test.wanted {
					wantRoom(t, budget)
				}
				time.Sleep(bufpool.SlowReader - time.Second)
				synctest.Wait()
				assert.EqualValues(t, 60_000, budget.Held())
				before := budget.Refused()
				time.Sleep(bufpool.SlowReader)
				synctest.Wait()
				if test.refused {
					assert.Zero(t, budget.Held())
					got := c.outcome(1)
					assert.Equal(t, codes.Unavailable, got.code, got.text)
					assert.Equal(t, before+1, budget.Refused())
				} else {
					assert.Equal(t, before, budget.Refused())
					assert.EqualValues(t, 60_000, budget.Held())
					for range 4 {
						c.sent(c.framer.WriteData(1, false, make([]byte, 11_000)))
					}
					c.sent(c.framer.WriteData(1, true, nil))
					c.answered(1)
				}
				c.call(3, "x")
				c.answered(3)
			})
		})
	}
}

func TestAConnectionThatStopsWithinAFrameMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := bufpool.NewBudget(100_000)
		s := New(withMethod(t, Config{Budget: budget}, accept))
		defer s.Stop()
		c := pipe(t, s)
		c.shake()
		c.start(1, 60_000, 16_000)
		c.raw("\x00\x10\x00\x00\x00\x00\x00\x00\x01half")
		wantRoom(t, budget)
		time.Sleep(bufpool.SlowReader - time.Second)
		synctest.Wait()
		assert.EqualValues(t, 60_000, budget.Held())
		time.Sleep(bufpool.SlowReader)
		c.ends()
		synctest.Wait()
		assert.Zero(t, budget.Held())
		assert.EqualValues(t, 2, budget.Refused(), "the other's message, and this")
	})
}

// Where messages are not bounded together, nobody looks for slow ones.
func TestAConnectionWithoutABoundIsLeftAlone(t *testing.T) {
	for _, limit := range []int64{0, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			s := New(withMethod(t, Config{Budget: bufpool.NewBudget(limit)}, accept))
			defer s.Stop()
			pipe(t, s).shake()
			synctest.Wait()
			c := only(s)
			c.mu.Lock()
			defer c.mu.Unlock()
			assert.Equal(t, limit > 0, c.tick(time.Now()) <= bufpool.SlowReader)
		})
	}
}
