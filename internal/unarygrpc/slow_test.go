package unarygrpc

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

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
	assert.EqualValues(t, 40_000+callBytes, budget.Held(), "that of the call that was given up came back")
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
				assert.EqualValues(t, 60_000+callBytes, budget.Held())
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
					assert.EqualValues(t, 60_000+callBytes, budget.Held())
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
		assert.EqualValues(t, 60_000+callBytes, budget.Held())
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

// A client that lets its deadline pass in the middle of a message hears so at once, and what it has sent is given back.
func TestADeadlinePassesBeforeTheMessageIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(withMethod(t, Config{}, accept))
		defer s.Stop()
		c := pipe(t, s)
		c.shake()
		defer time.AfterFunc(time.Hour, func() { _ = c.conn.Close() }).Stop() // or it would wait for ever
		begin := func(id uint32, fields ...string) {
			c.open(id, fields...)
			c.sent(c.framer.WriteData(id, false, message("x")[:4]))
		}
		born := time.Now()
		begin(1, "grpc-timeout", "7S")
		begin(3, "grpc-timeout", "3S")
		c.open(5, "grpc-timeout", "5S") // and nothing of its message
		begin(7)
		begin(9, "grpc-timeout", "9S")
		for _, late := range []struct {
			id      uint32
			seconds int
		}{{3, 3}, {5, 5}, {1, 7}} {
			got := c.outcome(late.id)
			assert.Equal(t, codes.DeadlineExceeded, got.code, got.text)
			assert.Equal(t, time.Duration(late.seconds)*time.Second, time.Since(born))
			e, _ := c.next(late.id, http2.FrameRSTStream)
			assert.Equal(t, http2.ErrCodeNo, e.code)
		}
		for _, id := range []uint32{9, 7} { // one in time, one without a deadline
			c.sent(c.framer.WriteData(id, true, message("x")[4:]))
			c.answered(id)
			time.Sleep(time.Minute)
		}
		assert.Empty(t, only(s).streams)
	})
}

// Nobody can be told in the middle of a frame, but after it.
func TestADeadlinePassesInTheMiddleOfAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(withMethod(t, Config{}, accept))
		defer s.Stop()
		c := pipe(t, s)
		c.shake()
		defer time.AfterFunc(time.Hour, func() { _ = c.conn.Close() }).Stop() // or it would wait for ever
		born := time.Now()
		c.open(1, "grpc-timeout", "1S")
		var frame bytes.Buffer
		require.NoError(t, http2.NewFramer(&frame, nil).WriteData(1, false, append([]byte{0, 0, 0, 1, 0}, make([]byte, 100)...)))
		c.raw(frame.String()[:50])
		time.Sleep(3500 * time.Millisecond)
		c.raw(frame.String()[50:])
		assert.Equal(t, codes.DeadlineExceeded, c.outcome(1).code)
		assert.Equal(t, 4*time.Second, time.Since(born))
	})
}

// Calls that are opened and left so hold little each, and there may be many.
func TestOpenCallsAndTheirMetadataAreInTheBudget(t *testing.T) {
	for name, test := range map[string]struct {
		incoming func(context.Context, metadata.MD) (context.Context, error)
		fields   []string
	}{
		"calls":    {fields: nil},
		"metadata": {incoming: func(ctx context.Context, _ metadata.MD) (context.Context, error) { return ctx, nil }, fields: []string{"a", strings.Repeat("x", 2000)}},
	} {
		t.Run(name, func(t *testing.T) {
			budget := bufpool.NewBudget(10_000)
			s, address := serve(t, Config{Budget: budget, Incoming: test.incoming, Enforcement: anyPings}, accept)
			c := dial(t, address)
			id, each := uint32(1), int64(0)
			for ; id < 100 && (each == 0 || budget.Held()+each <= 10_000); id += 2 {
				c.open(id, test.fields...)
				c.pong()
				each = budget.Held() / int64(id/2+1)
			}
			assert.Equal(t, test.incoming != nil, each > 2000, "%d bytes each", each)
			assert.GreaterOrEqual(t, each, int64(callBytes))
			c.open(id, test.fields...)
			assert.Equal(t, codes.Unavailable, c.outcome(id).code)

			c.sent(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
			c.call(id+2, "x", test.fields...)
			c.answered(id + 2)
			held := budget.Held()
			c.open(id+4, test.fields...)
			c.sent(c.framer.WriteData(id+4, true, []byte{2, 0, 0, 0, 0}))
			assert.Equal(t, codes.Internal, c.outcome(id+4).code)
			assert.Equal(t, held, budget.Held(), "a refused call holds nothing")
			s.Stop()
			assert.Zero(t, budget.Held())
		})
	}
}
