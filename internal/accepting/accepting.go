// Package accepting has what our servers have in common, whatever they speak: they accept connections, know those there are, and end.
package accepting

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Server accepts connections, and serves each in a goroutine of its own. C is what a connection is to who speaks on it. Its methods may be
// called from several goroutines at once.
type Server[C comparable] struct {
	connect func(net.Conn) C
	serve   func(C)
	ended   error

	// mu is the innermost: what is called under it closes something or begins a goroutine.
	mu        sync.Mutex
	stopped   bool
	listeners map[net.Listener]struct{}
	conns     map[C]struct{}
	serving   sync.WaitGroup // the connections' goroutines; none is added once stopped
}

// New returns a server that serves nothing yet. Connect, which must not wait, makes what is given to serve, which closes the connection or
// leaves it to someone else. Ended is what Serve returns after Stop.
func New[C comparable](connect func(net.Conn) C, serve func(C), ended error) *Server[C] {
	return &Server[C]{connect: connect, serve: serve, ended: ended, listeners: map[net.Listener]struct{}{}, conns: map[C]struct{}{}}
}

// Serve accepts connections until the server is stopped or the listener fails for good, and closes the listener.
func (s *Server[C]) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }()
	if !s.listen(l) {
		return s.ended
	}
	defer s.listened(l)
	if err := accept(l, s.Begin); !s.Stopped() {
		return err
	}
	return s.ended
}

func (s *Server[C]) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server[C]) listened(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// accept gives each connection to begin until the listener fails for good, and returns that error. What will pass, as too many open files
// does, it waits for as long as net/http and grpc-go do.
func accept(l net.Listener, begin func(net.Conn)) error {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			wait = 0
			begin(c)
			continue
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return err
		}
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		time.Sleep(wait)
	}
}

// Begin serves a connection as one that was accepted. After Stop it is closed.
func (s *Server[C]) Begin(raw net.Conn) {
	c := s.connect(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = raw.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.serving.Go(func() {
		defer s.served(c)
		s.serve(c)
	})
}

func (s *Server[C]) served(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// All returns the connections that are served.
func (s *Server[C]) All() []C {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

// Stopped reports whether Stop has been called.
func (s *Server[C]) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Stop closes the listeners, and returns the connections there are, which are the caller's to end: no more will come. It may be repeated.
func (s *Server[C]) Stop() []C {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for l := range s.listeners {
		_ = l.Close()
	}
	return slices.Collect(maps.Keys(s.conns))
}

// Wait returns when all connections have ended. It is for use after Stop.
func (s *Server[C]) Wait() { s.serving.Wait() }
