package accepting

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errEnded = errors.New("ended")

// newServer serves each connection until its client or the test ends it.
func newServer() *Server[net.Conn] {
	return New(func(c net.Conn) net.Conn { return c }, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, errEnded)
}

type accepted struct {
	conn net.Conn
	err  error
}

// listener is a listener whose accepts the test decides.
type listener struct {
	net.Listener
	accepts chan accepted
	at      []time.Time // Accept was called
	once    sync.Once
	closed  chan struct{}
}

func newListener() *listener {
	return &listener{accepts: make(chan accepted, 20), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	l.at = append(l.at, time.Now())
	select {
	case a := <-l.accepts:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// connect makes a connection that is accepted, and returns both ends of it.
func (l *listener) connect() (client, server net.Conn) {
	client, server = net.Pipe()
	l.accepts <- accepted{conn: server}
	return client, server
}

// ended reports whether the other end has closed a connection.
func ended(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// isClosed reports whether a channel has been closed.
func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestConnectionsAreServedUntilTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newServer(), newListener(), newListener()
		var serving sync.WaitGroup
		for _, l := range []*listener{first, second} {
			serving.Go(func() { assert.Equal(t, errEnded, s.Serve(l)) })
		}
		a, inA := first.connect()
		_, inB := first.connect()
		_, inC := second.connect()
		synctest.Wait()
		assert.ElementsMatch(t, []net.Conn{inA, inB, inC}, s.All(), "none waits for another")
		_ = a.Close()
		synctest.Wait()
		assert.ElementsMatch(t, []net.Conn{inB, inC}, s.All())
		assert.False(t, s.Stopped())

		assert.ElementsMatch(t, []net.Conn{inB, inC}, s.Stop())
		serving.Wait()
		assert.True(t, s.Stopped())
		assert.True(t, isClosed(first.closed))
		assert.True(t, isClosed(second.closed))
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			s.Wait()
		}()
		_ = inB.Close()
		synctest.Wait()
		assert.False(t, isClosed(waited), "a connection is there")
		assert.Equal(t, []net.Conn{inC}, s.Stop())
		_ = inC.Close()
		<-waited
		assert.Empty(t, s.All())
	})
}

func TestNothingBeginsAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		assert.Empty(t, s.Stop())
		l := newListener()
		assert.Equal(t, errEnded, s.Serve(l))
		assert.True(t, isClosed(l.closed))
		assert.Empty(t, l.at)

		ours, theirs := net.Pipe()
		s.Begin(theirs)
		assert.True(t, ended(ours))
		assert.Empty(t, s.All())
	})
}

// Those which a listener has given stay when it fails, and another may follow.
func TestAListenerThatFailsEndsItsServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(), newListener()
		_, conn := l.connect()
		broken := errors.New("broken")
		l.accepts <- accepted{err: broken}
		assert.Equal(t, broken, s.Serve(l))
		assert.True(t, isClosed(l.closed))
		assert.Equal(t, []net.Conn{conn}, s.All())
		assert.Empty(t, s.listeners)

		next := newListener()
		var serving sync.WaitGroup
		serving.Go(func() { assert.Equal(t, errEnded, s.Serve(next)) })
		_, other := next.connect()
		synctest.Wait()
		assert.ElementsMatch(t, []net.Conn{conn, other}, s.All())
		for _, c := range s.Stop() {
			_ = c.Close()
		}
		serving.Wait()
		s.Wait()
	})
}

func TestWhatPassesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(), newListener()
		full := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		for range 9 {
			l.accepts <- accepted{err: full}
		}
		client, _ := l.connect()
		_ = client.Close()
		l.accepts <- accepted{err: full}
		l.accepts <- accepted{err: net.ErrClosed}
		begun := time.Now()
		assert.Equal(t, net.ErrClosed, s.Serve(l))
		var waits []int64
		for _, at := range l.at {
			waits = append(waits, at.Sub(begun).Milliseconds())
			begun = at
		}
		assert.Equal(t, []int64{0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 0, 5}, waits,
			"each time for longer, up to a second, and after a success from the start")
		s.Wait()
	})
}
