package grpcclient

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// bubble runs a test with a fake clock, and a client whose first connection has been greeted.
func bubble(t *testing.T, settings []http2.Setting, test func(t *testing.T, c *Client, peers <-chan *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, peers := newPair(t)
		greeted := make(chan *peer, 10)
		go func() {
			for {
				select {
				case p := <-peers:
					greeted <- p.greet(t, settings...)
				case <-t.Context().Done():
					return
				}
			}
		}()
		test(t, c, greeted)
	})
}

func TestAMessageWaitsForTheWindows(t *testing.T) {
	small := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 3}}
	bubble(t, small, func(t *testing.T, c *Client, peers <-chan *peer) {
		done := c.start(t.Context(), "abcdefgh")
		p := <-peers
		id := p.next(t, http2.FrameHeaders).StreamID
		var got []byte
		step := func(n int, end bool) {
			f := p.next(t, http2.FrameData)
			assert.Len(t, f.payload, n)
			assert.Equal(t, end, f.Flags.Has(http2.FlagDataEndStream))
			got = append(got, f.payload...)
			synctest.Wait()
			assert.Empty(t, p.frames)
		}
		step(3, false)
		require.NoError(t, p.WriteWindowUpdate(0, 100)) // the connection's is not what it waits for
		synctest.Wait()
		assert.Empty(t, p.frames)
		require.NoError(t, p.WriteWindowUpdate(id, 4))
		step(4, false)
		require.NoError(t, p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
		require.NoError(t, p.WriteWindowUpdate(id, 4)) // 3 less, 4 more
		step(1, false)
		require.NoError(t, p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}))
		step(5, true)
		assert.Equal(t, "\x00\x00\x00\x00\x08abcdefgh", string(got))
		p.answer(t, id, "x")
		assert.Equal(t, answer{message: "x"}, <-done)
	})
}

func TestCallsWaitForTheWindowOfTheConnectionInTurns(t *testing.T) {
	wide := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 20}}
	bubble(t, wide, func(t *testing.T, c *Client, peers <-chan *peer) {
		large := strings.Repeat("x", 60<<10)
		a := c.start(t.Context(), large)
		p := <-peers
		synctest.Wait()
		b := c.start(t.Context(), large)
		synctest.Wait()
		sent := map[uint32]int{}
		total := 0
		for len(p.frames) > 0 {
			f := <-p.frames
			sent[f.StreamID] += len(f.payload)
			total += len(f.payload)
			assert.LessOrEqual(t, len(f.payload), maxFrame)
		}
		assert.Equal(t, defaultWindow, total)
		require.NoError(t, p.WriteWindowUpdate(0, 1<<20))
		synctest.Wait()
		for len(p.frames) > 0 {
			f := <-p.frames
			sent[f.StreamID] += len(f.payload)
		}
		assert.Equal(t, map[uint32]int{1: prefixSize + len(large), 3: prefixSize + len(large)}, sent)
		p.answer(t, 3, "b")
		p.answer(t, 1, "a")
		assert.Equal(t, answer{message: "a"}, <-a)
		assert.Equal(t, answer{message: "b"}, <-b)
	})
}

func TestNoMoreCallsAreOpenThanTheServerAllows(t *testing.T) {
	bubble(t, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1}}, func(t *testing.T, c *Client, peers <-chan *peer) {
		a := c.start(t.Context(), "a")
		p := <-peers
		first := p.request(t)
		b := c.start(t.Context(), "b")
		synctest.Wait()
		assert.Empty(t, p.frames)
		p.answer(t, first, "x")
		assert.Equal(t, answer{message: "x"}, <-a)
		p.skipPing(t)
		p.answer(t, p.request(t), "y")
		assert.Equal(t, answer{message: "y"}, <-b)
	})
}

func TestPingsAreAnsweredAndAsked(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *Client, peers <-chan *peer) {
		done := c.start(t.Context(), "a")
		p := <-peers
		id := p.request(t)
		require.NoError(t, p.WritePing(false, [8]byte{1, 2, 3}))
		f := p.next(t, http2.FramePing)
		assert.True(t, f.Flags.Has(http2.FlagPingAck))
		assert.Equal(t, []byte{1, 2, 3, 0, 0, 0, 0, 0}, f.payload)
		p.answer(t, id, "x")
		<-done
		p.next(t, http2.FrameWindowUpdate)
		p.next(t, http2.FramePing)
		done = c.start(t.Context(), "b")
		p.answer(t, p.request(t), "y")
		<-done
		synctest.Wait()
		assert.Empty(t, p.frames, "no ping while one is under way")
	})
}

func TestCallsThatTheServerHasNotLookedAtBeginAgainOnce(t *testing.T) {
	for name, refuse := range map[string]func(t *testing.T, p *peer, id uint32){
		"GOAWAY": func(t *testing.T, p *peer, id uint32) {
			require.NoError(t, p.WriteGoAway(max(id, 2)-2, http2.ErrCodeNo, nil))
		},
		"REFUSED_STREAM": func(t *testing.T, p *peer, id uint32) {
			require.NoError(t, p.WriteRSTStream(id, http2.ErrCodeRefusedStream))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, c *Client, peers <-chan *peer) {
				first := c.start(t.Context(), "a")
				p := <-peers
				kept := p.request(t)
				second := c.start(t.Context(), "b")
				refuse(t, p, p.request(t))
				again := p
				if name == "GOAWAY" {
					again = <-peers
				}
				id := again.request(t)
				refuse(t, again, id)
				assert.Equal(t, codes.Unavailable, status.Code((<-second).err))
				p.answer(t, kept, "x")
				assert.Equal(t, answer{message: "x"}, <-first, "the server has looked at it")
				if name == "GOAWAY" {
					for range p.frames { // until it ends, which it does after its last call
					}
				}
			})
		})
	}
}

func TestCallsThatWereNotOpenedTryEveryConnection(t *testing.T) {
	bubble(t, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 0}}, func(t *testing.T, c *Client, peers <-chan *peer) {
		done := c.start(t.Context(), "a")
		for range 3 {
			p := <-peers
			synctest.Wait()
			require.NoError(t, p.net.Close())
		}
		p := <-peers
		require.NoError(t, p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}))
		p.answer(t, p.request(t), "x")
		assert.Equal(t, answer{message: "x"}, <-done)
	})
}

// Callers that give up and try again must not fill the memory of a connection that has come to a halt.
func TestACallThatLeavesIsInNoQueue(t *testing.T) {
	for name, halted := range map[string]http2.Setting{
		"waiting": {ID: http2.SettingMaxConcurrentStreams, Val: 0}, "sending": {ID: http2.SettingMaxConcurrentStreams, Val: 10},
	} {
		t.Run(name, func(t *testing.T) {
			wide := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}
			bubble(t, []http2.Setting{halted, wide}, func(t *testing.T, c *Client, peers <-chan *peer) {
				ctx, cancel := context.WithCancel(t.Context())
				first := c.start(ctx, strings.Repeat("x", 100<<10)) // more than the connection's window
				<-peers
				synctest.Wait()
				second := c.start(ctx, "b")
				synctest.Wait()
				conn := c.conn
				conn.mu.Lock()
				assert.Len(t, append(conn.waiting, conn.sending...), 2)
				conn.mu.Unlock()
				cancel()
				assert.Equal(t, codes.Canceled, status.Code((<-first).err))
				assert.Equal(t, codes.Canceled, status.Code((<-second).err))
				conn.mu.Lock()
				assert.Empty(t, append(conn.waiting, conn.sending...))
				conn.mu.Unlock()
			})
		})
	}
}

func TestCallsThatWaitForAStreamGoElsewhereAfterAGoAway(t *testing.T) {
	bubble(t, []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1}}, func(t *testing.T, c *Client, peers <-chan *peer) {
		a := c.start(t.Context(), "a")
		p := <-peers
		id := p.request(t)
		b := c.start(t.Context(), "b")
		synctest.Wait()
		require.NoError(t, p.WriteGoAway(id, http2.ErrCodeNo, nil))
		other := <-peers
		other.answer(t, other.request(t), "y")
		assert.Equal(t, answer{message: "y"}, <-b)
		p.answer(t, id, "x")
		assert.Equal(t, answer{message: "x"}, <-a)
	})
}

func TestACallThatLeavesIsCancelled(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *Client, peers <-chan *peer) {
		ctx, cancel := context.WithCancel(t.Context())
		done := c.start(ctx, "a")
		p := <-peers
		id := p.request(t)
		cancel()
		assert.Equal(t, codes.Canceled, status.Code((<-done).err))
		f := p.next(t, http2.FrameRSTStream)
		assert.Equal(t, id, f.StreamID)
		assert.Equal(t, "CANCEL", string(f.payload))
		p.answer(t, id, "late")
		p.skipPing(t)
		done = c.start(t.Context(), "b")
		p.answer(t, p.request(t), "y")
		assert.Equal(t, answer{message: "y"}, <-done)
	})
}

// counted is a pool that knows what has not come back.
type counted struct{ out atomic.Int64 }

func (p *counted) Get(n int) *[]byte {
	p.out.Add(1)
	b := make([]byte, n)
	return &b
}
func (p *counted) Put(*[]byte) { p.out.Add(-1) }

// A server that does not read, or a network that has gone, must not hold up those who have a deadline, nor keep their memory.
func TestACallerLeavesInTimeWhateverTheConnectionDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peers := newPair(t)
		var pool counted
		call := func(wait time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			message := mem.NewBuffer(pool.Get(2<<10), &pool)
			defer message.Free()
			_, err := c.Call(ctx, message)
			return err
		}
		connecting := time.Now()
		assert.Equal(t, codes.DeadlineExceeded, status.Code(call(500*time.Millisecond)), "nobody greets")
		assert.Equal(t, codes.Unavailable, status.Code(call(time.Minute)))
		assert.Equal(t, time.Second, time.Since(connecting), "MinConnectTimeout")

		<-peers
		go func() {
			p := <-peers
			preface := make([]byte, len(http2.ClientPreface)+9)
			_, _ = p.net.Read(preface[:len(http2.ClientPreface)])
			_, _ = p.net.Read(preface)
			_ = p.WriteSettings()
		}()
		var calls []<-chan error
		for range 10 {
			done := make(chan error, 1)
			go func() { done <- call(5 * time.Second) }()
			calls = append(calls, done)
		}
		began := time.Now()
		for _, done := range calls {
			assert.Equal(t, codes.DeadlineExceeded, status.Code(<-done))
		}
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.LessOrEqual(t, pool.out.Load(), int64(10))
		c.Close()
		assert.Zero(t, pool.out.Load())
		assert.Equal(t, codes.Canceled, status.Code(call(time.Second)))
	})
}

// scribbling is a pool that writes over what comes back.
type scribbling struct{ returned atomic.Int64 }

func (*scribbling) Get(n int) *[]byte { b := make([]byte, n); return &b }

func (p *scribbling) Put(b *[]byte) {
	for i := range *b {
		(*b)[i] = 0xff
	}
	p.returned.Add(1)
}

// A caller may leave while the network still takes its message.
func TestAMessageIsGivenBackOnlyWhenItIsNotBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peers := newPair(t)
		var pool scribbling
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			message := mem.NewBuffer(pool.Get(2<<10), &pool)
			defer message.Free()
			_, err := c.Call(ctx, message)
			left <- err
		}()
		p := <-peers
		p.shakeHands(t)
		_, err := p.ReadFrame() // the acknowledgement of its settings; nobody reads the call, which is being written now
		require.NoError(t, err)
		synctest.Wait()
		cancel()
		assert.Equal(t, codes.Canceled, status.Code(<-left))
		assert.Zero(t, pool.returned.Load(), "it is being written")
		go p.read()
		p.next(t, http2.FrameHeaders)
		assert.Equal(t, make([]byte, 2<<10), p.next(t, http2.FrameData).payload[prefixSize:])
		p.next(t, http2.FrameRSTStream)
		synctest.Wait()
		assert.EqualValues(t, 1, pool.returned.Load())
	})
}

// A server that keeps no table of headers must not be referred to one.
func TestHeadersAreCompressedAsTheServerAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peers := newPair(t)
		done := c.start(t.Context(), "a")
		p := <-peers
		p.ReadMetaHeaders.SetMaxDynamicTableSize(0)
		p.greet(t, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		p.answer(t, p.request(t), "x")
		assert.Equal(t, answer{message: "x"}, <-done)
		p.skipPing(t)
		done = c.start(t.Context(), "b")
		f := p.next(t, http2.FrameHeaders)
		assert.Contains(t, f.fields, hpack.HeaderField{Name: ":path", Value: method})
		p.next(t, http2.FrameData)
		p.answer(t, f.StreamID, "y")
		assert.Equal(t, answer{message: "y"}, <-done)
	})
}

func TestAConnectionThatIsCutEndsItsCallsAndAnotherIsMade(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *Client, peers <-chan *peer) {
		a, b := c.start(t.Context(), "a"), c.start(t.Context(), strings.Repeat("x", 100<<10))
		p := <-peers
		synctest.Wait()
		require.NoError(t, p.net.Close())
		assert.Equal(t, codes.Unavailable, status.Code((<-a).err))
		assert.Equal(t, codes.Unavailable, status.Code((<-b).err))
		a = c.start(t.Context(), "a")
		p = <-peers
		p.answer(t, p.request(t), "x")
		assert.Equal(t, answer{message: "x"}, <-a)
	})
}

func TestAttemptsToConnectAreApartAndCallsFailMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		c := New(Config{Method: method, Backoff: testBackoff, MinConnectTimeout: time.Second,
			Dial: func(context.Context, string) (net.Conn, error) {
				at = append(at, time.Since(begun))
				return nil, errRefused
			}})
		defer c.Close()
		for time.Since(begun) < 3*time.Second {
			_, err := c.Call(t.Context(), mem.SliceBuffer("a"))
			assert.Equal(t, codes.Unavailable, status.Code(err))
			assert.ErrorContains(t, err, "refused")
			time.Sleep(time.Millisecond)
		}
		ms := time.Millisecond
		assert.Equal(t, []time.Duration{0, 50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 2550 * ms}, at)
	})
}

func TestWhatIsNotHTTP2EndsTheConnection(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *Client, peers <-chan *peer) {
		for name, write := range map[string]func(p *peer) error{
			"push":                     func(p *peer) error { return p.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2}) },
			"window of the connection": func(p *peer) error { return p.WriteWindowUpdate(0, 1<<31-1) },
			"initial window": func(p *peer) error {
				return p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
			},
			"frame too large": func(p *peer) error { return p.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, maxFrame+1)) },
		} {
			done := c.start(t.Context(), "a")
			p := <-peers
			p.request(t)
			go func() { _ = write(p) }() // the client need not read to the end
			assert.Equal(t, codes.Unavailable, status.Code((<-done).err), name)
			_, open := <-p.frames
			assert.False(t, open, name)
		}
	})
}

func TestFramesAreSharedOutAsTheyAreWritten(t *testing.T) {
	var o output
	k := &call{message: mem.SliceBuffer("message")}
	_, _ = o.Write([]byte("head"))
	o.refer(k, []byte("body"))
	_, _ = o.Write(bytes.Repeat([]byte("x"), 1000)) // into new memory
	o.close()
	var all []byte
	for _, b := range o.buffers {
		all = append(all, b...)
	}
	assert.Equal(t, fmt.Sprintf("headbody%s", strings.Repeat("x", 1000)), string(all))
	assert.Equal(t, len(all), o.size)
	o.release()
	assert.Zero(t, o.size)
	assert.False(t, k.writing)
}
