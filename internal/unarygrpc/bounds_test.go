package unarygrpc

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// pipe connects a client and the server without a network, so that a test in a bubble knows when everybody waits.
func pipe(t *testing.T, s *Server) *client {
	ours, theirs := net.Pipe()
	s.conns.Begin(theirs)
	return newClient(t, ours)
}

// only returns the server's only connection.
func only(s *Server) *conn { return s.conns.All()[0] }

func TestCallsBeyondTheLimitAreRefused(t *testing.T) {
	g := newGate()
	_, address := serve(t, Config{MaxConcurrentStreams: 2}, g.handle)
	c := dial(t, address)
	e, _ := c.next(0, http2.FrameSettings)
	assert.EqualValues(t, 2, e.settings[http2.SettingMaxConcurrentStreams])
	c.call(1, "x")
	c.open(3) // a call whose message has not come counts
	<-g.entered
	c.call(5, "x")
	assert.Equal(t, outcome{reset: true, rst: http2.ErrCodeRefusedStream}, c.outcome(5))
	c.sent(c.framer.WriteRSTStream(3, http2.ErrCodeCancel))
	c.call(7, "x")
	<-g.entered
	close(g.opened)
	assert.ElementsMatch(t, []uint32{1, 7}, c.order(2))
}

// Calls that are reset at once are still being handled: of these there are twice the limit at most (CVE-2023-44487).
func TestRapidResetIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		release := make(chan struct{})
		s := New(withMethod(t, Config{MaxConcurrentStreams: limit}, func(context.Context, mem.BufferSlice) error {
			<-release // a handler that does not look at its context
			return nil
		}))
		c := pipe(t, s)
		c.shake()
		var sending sync.WaitGroup
		sending.Go(func() {
			for id := uint32(1); id < 2000; id += 2 {
				c.call(id, "x")
				c.sent(c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
			}
		})
		synctest.Wait()
		assert.Equal(t, 2*limit, s.Stats().Calls)
		close(release)
		sending.Wait()
		synctest.Wait()
		assert.Equal(t, Stats{Connections: 1}, s.Stats())
		s.Stop()
		synctest.Wait()
	})
}

// A client that does not read what it is told is no longer read from. Calls that are being handled by then are still answered; these are
// bounded, as they may be many when their goroutines get no processor for a while.
func TestAClientThatDoesNotReadIsBounded(t *testing.T) {
	const limit, largestReply = 10, 256
	for name, send := range map[string]func(c *client, i uint32) error{
		"calls": func(c *client, i uint32) error { c.block.Reset(); return sendCall(c, 2*i+1) },
		"refused": func(c *client, i uint32) error {
			return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte("\x83"), EndHeaders: true})
		},
		"malformed": func(c *client, i uint32) error {
			return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte("\x00\x01A\x01x"), EndHeaders: true})
		},
		"settings": func(c *client, _ uint32) error { return c.framer.WriteSettings() },
		"pings":    func(c *client, _ uint32) error { return c.framer.WritePing(false, [8]byte{}) },
		"windows": func(c *client, i uint32) error {
			if i == 0 {
				return sendCall(c, 1)
			}
			return c.framer.WriteWindowUpdate(1, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(withMethod(t, Config{MaxConcurrentStreams: limit, Enforcement: anyPings}, accept))
				ours, theirs := net.Pipe()
				s.conns.Begin(theirs)
				c := unread(t, ours)
				// The pipe keeps nothing, so the server's first frames have to be read.
				var shaking sync.WaitGroup
				shaking.Go(func() { c.shake() })
				for range 3 {
					_, err := c.framer.ReadFrame()
					require.NoError(t, err)
				}
				shaking.Wait()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for i := range uint32(100_000) {
						if send(c, i) != nil {
							return
						}
					}
				}()
				synctest.Wait()
				select {
				case <-sent:
					t.Error("everything was read")
				default:
				}
				conn := only(s)
				conn.mu.Lock()
				assert.LessOrEqual(t, len(conn.output.pending), maxPending+(2*limit+1)*largestReply, "the frame read last and all calls being handled")
				conn.mu.Unlock()
				s.Stop()
				<-sent
			})
		})
	}
}

func sendCall(c *client, id uint32) error {
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(request()), EndHeaders: true})
	if err == nil {
		err = c.framer.WriteData(id, true, message("x"))
	}
	return err
}

// A client that announces much and sends little takes little memory.
func TestAnnouncedMessagesTakeWhatWasSent(t *testing.T) {
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	cfg := withMethod(t, Config{Enforcement: anyPings}, accept)
	cfg.Buffers = pool
	s := New(cfg)
	listen(t, s)
	c := dial(t, listen(t, s))
	announced := binary.BigEndian.AppendUint32([]byte{0}, defaultMaxMessage)
	const calls = 200
	for _, sent := range []int{1, 2000, 16_000, 150_000} {
		before := pool.Stats().InUseBytes
		for i := range uint32(calls) {
			id := uint32(2*sent*calls) + 2*i + 1
			c.open(id)
			c.sent(c.framer.WriteData(id, false, announced))
			for left := sent; left > 0; left -= min(left, 16_000) {
				c.sent(c.framer.WriteData(id, false, make([]byte, min(left, 16_000))))
			}
		}
		c.pong()
		// The first buffer is four times a frame; size classes of up to a fifth more, and nothing below 1 KiB.
		assert.LessOrEqual(t, pool.Stats().InUseBytes-before, int64(calls*sent*4*5/4), "%d bytes of each", sent)
	}
	s.Stop()
	assert.Zero(t, pool.Stats().InUse)
}

// Whoever does not shake hands is not waited for.
func TestAHandshakeTakesNotForever(t *testing.T) {
	for name, sent := range map[string]string{"nothing": "", "half a preface": http2.ClientPreface[:10], "no settings": http2.ClientPreface} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(withMethod(t, Config{}, accept))
				c := pipe(t, s)
				start := time.Now()
				c.raw(sent)
				assert.Empty(t, c.ends())
				assert.Equal(t, handshakeTimeout, time.Since(start))
				s.Stop()
			})
		})
	}
}
