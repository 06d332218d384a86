package unarygrpc

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// stopping runs GracefulStop and returns when it has told the connection to leave.
func stopping(t *testing.T, s *Server, c *client) (stopped chan struct{}) {
	c.pong() // the handshake is over
	stopped = make(chan struct{})
	go func() {
		defer close(stopped)
		s.GracefulStop()
	}()
	e, more := c.next(0, http2.FrameGoAway)
	require.True(t, more)
	assert.Equal(t, event{kind: http2.FrameGoAway, last: 1<<31 - 1, data: e.data}, e)
	return stopped
}

func TestAGracefulStopAnswersWhatIsUnderWay(t *testing.T) {
	g := newGate()
	s, address := serve(t, Config{}, g.handle)
	c := dial(t, address)
	c.silent = true
	c.call(1, "x")
	c.open(3)
	<-g.entered
	stopped := stopping(t, s, c)
	c.call(5, "x") // its client has not heard yet
	<-g.entered
	e, _ := c.next(0, http2.FramePing)
	c.sent(c.framer.WritePing(true, [8]byte(e.data)))
	e, _ = c.next(0, http2.FrameGoAway)
	assert.EqualValues(t, 5, e.last)
	assert.Equal(t, http2.ErrCodeNo, e.code)
	c.call(7, "x") // nobody looks at it
	c.sent(c.framer.WriteData(3, true, message("x")))
	<-g.entered
	select {
	case <-stopped:
		t.Error("stopped while calls are under way")
	default:
	}
	close(g.opened)
	answers := map[uint32]bool{}
	for len(answers) < 3 {
		e, more := c.next(0, http2.FrameHeaders)
		require.True(t, more)
		if e.end {
			answers[e.id] = true
		}
	}
	assert.Equal(t, map[uint32]bool{1: true, 3: true, 5: true}, answers)
	_, more := c.next(0, http2.FrameHeaders, http2.FrameRSTStream)
	assert.False(t, more, "the connection ends")
	<-stopped
	assert.Empty(t, g.entered)
}

// A call of which half a message is there is under way.
func TestAGracefulStopWaitsForMessages(t *testing.T) {
	s, address := serve(t, Config{}, accept)
	c := dial(t, address)
	c.open(1)
	c.sent(c.framer.WriteData(1, false, message("x")[:3]))
	stopped := stopping(t, s, c)
	_, _ = c.next(0, http2.FrameGoAway)
	c.sent(c.framer.WriteData(1, true, message("x")[3:]))
	c.answered(1)
	_ = c.conn.Close()
	<-stopped
}

// What the client says after its last answer is not answered any more, and does not cut the answer off.
func TestTheEndOfAConnectionIsQuiet(t *testing.T) {
	certificate, roots := certify(t)
	for _, test := range []struct {
		name string
		cfg  Config
		dial func(address string) (net.Conn, error)
	}{
		{"plain text", Config{}, func(address string) (net.Conn, error) { return net.Dial("tcp", address) }},
		{"TLS", Config{Credentials: credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{certificate}})}, func(address string) (net.Conn, error) {
			return tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "test", NextProtos: []string{"h2"}})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGate()
			s, address := serve(t, test.cfg, g.handle)
			conn, err := test.dial(address)
			require.NoError(t, err)
			c := newClient(t, conn)
			c.shake()
			c.call(1, "x")
			<-g.entered
			stopped := stopping(t, s, c)
			_, _ = c.next(0, http2.FrameGoAway)
			close(g.opened)
			c.answered(1)
			_, more := c.next(0, http2.FrameHeaders, http2.FramePing)
			require.False(t, more, "the server has said that it ends")
			for range 100 {
				if c.framer.WritePing(false, [8]byte{}) != nil {
					break
				}
			}
			select {
			case <-stopped:
				t.Error("the client has not ended, so it is lingered for")
			default:
			}
			_ = c.conn.Close()
			<-stopped
		})
	}
}

// A client that takes back its last call ends a graceful stop, whatever state the call is in.
func TestAResetEndsAGracefulStop(t *testing.T) {
	for _, sent := range []string{"nothing of its message", "its message", "its message, and waits for its answer's window"} {
		t.Run(sent, func(t *testing.T) {
			g := newGate()
			close(g.opened)
			s, address := serve(t, Config{}, g.handle)
			c := dial(t, address, initialWindow(0))
			switch sent {
			case "nothing of its message":
				c.open(1)
			case "its message":
				g.opened = make(chan struct{})
				c.call(1, "x")
				<-g.entered
			default:
				handled(t, c, s, 1)
			}
			stopped := stopping(t, s, c)
			_, _ = c.next(0, http2.FrameGoAway)
			c.sent(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
			<-stopped
		})
	}
}

// A client that never answers the ping is not waited for longer than it takes to hear.
func TestAGracefulStopDoesNotWaitForADeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(withMethod(t, Config{}, accept))
		c := pipe(t, s)
		c.silent = true
		c.shake()
		synctest.Wait()
		start := time.Now()
		s.GracefulStop()
		assert.Equal(t, leaveTimeout, time.Since(start))
		assert.Len(t, c.ends(), 2)
	})
}

// One client that does not read keeps the others from nothing.
func TestAGracefulStopReachesAllConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(withMethod(t, Config{}, accept))
		var clients []*client
		for range 5 {
			ours, theirs := net.Pipe()
			s.conns.Begin(theirs)
			c := unread(t, ours)
			go c.shake()
			for range 3 {
				_, err := c.framer.ReadFrame()
				require.NoError(t, err)
			}
			clients = append(clients, c)
		}
		good := pipe(t, s)
		good.shake()
		synctest.Wait()
		start := time.Now()
		go s.GracefulStop()
		goAways := good.ends()
		assert.Len(t, goAways, 2)
		assert.Zero(t, time.Since(start))
		s.Stop()
		for _, c := range clients {
			_, err := c.framer.ReadFrame()
			assert.Error(t, err)
		}
		synctest.Wait()
	})
}

func TestStoppingDuringTheHandshake(t *testing.T) {
	for _, sent := range []string{"", http2.ClientPreface[:10], http2.ClientPreface} {
		for name, stop := range map[string]func(*Server){"Stop": (*Server).Stop, "GracefulStop": (*Server).GracefulStop} {
			synctest.Test(t, func(t *testing.T) {
				s := New(withMethod(t, Config{}, accept))
				c := pipe(t, s)
				c.raw(sent)
				synctest.Wait()
				start := time.Now()
				stop(s)
				assert.Zero(t, time.Since(start), name)
				assert.Empty(t, c.ends())
			})
		}
	}
}

func TestStopCancelsWhatIsUnderWay(t *testing.T) {
	g := newGate()
	s, address := serve(t, Config{}, g.handle)
	c := dial(t, address)
	c.call(1, "x")
	handling := <-g.entered
	graceful := make(chan struct{})
	go func() {
		s.GracefulStop() // is cut short
		close(graceful)
	}()
	s.Stop()
	<-graceful
	assert.ErrorIs(t, handling.Err(), context.Canceled)
	s.Stop()
	s.GracefulStop()
}

// Clients that call without pause lose no call while one of two servers stops, and call the other from then on.
func TestAGracefulStopUnderLoadLosesNoCall(t *testing.T) {
	var calls, others atomic.Int64
	stopping, address := serve(t, Config{}, counted(&calls, accept))
	_, other := serve(t, Config{}, counted(&others, accept))
	r := manual.NewBuilderWithScheme("two")
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: address}, {Addr: other}}})
	var good atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		c := connect(t, r.Scheme()+":///", grpc.WithResolvers(r), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
		for range 10 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if !assert.NoError(t, call(t.Context(), c, pattern(20_000))) {
						return
					}
					good.Add(1)
				}
			})
		}
	}
	more := func(n *atomic.Int64) {
		enough := n.Load() + 200
		require.Eventually(t, func() bool { return n.Load() >= enough }, eventually, poll)
	}
	more(&calls)
	more(&others)
	stopping.GracefulStop()
	last := calls.Load()
	more(&others)
	cancel()
	wg.Wait()
	assert.Equal(t, last, calls.Load())
	assert.Equal(t, good.Load(), calls.Load()+others.Load(), "each call was handled once")
}
