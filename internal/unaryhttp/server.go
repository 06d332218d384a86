// Package unaryhttp is an HTTP/1.1 server for requests whose bodies stay the bytes they came in.
//
// net/http's server reads each connection in two goroutines, of which one waits for the client to go away, and makes maps, contexts
// and writers for each request; for a gateway that only passes bytes on, this costs as much as reading, checking and sending them.
// Here a request that is exactly what exporters send, a POST of known length and type to a known path, is read and answered by the one
// goroutine of its connection. Any other request takes its connection to net/http, which reads it from its first byte, so that
// there is no second opinion on what a request means.
package unaryhttp

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/accepting"
)

// Request is a request's body.
type Request struct {
	// Body is as sent, compressed or not. It ends after Length bytes, or with an error.
	Body     io.Reader
	Length   int64
	Encoding string
	// SetReadDeadline breaks off reading the body, as the method of net.Conn does.
	SetReadDeadline func(time.Time) error
}

// Answer is what a client is told. An error closes the connection if the body was not read to its end.
type Answer struct {
	Code        int
	ContentType string
	RetryAfter  string // empty: none
	Body        []byte
}

// Endpoint serves the requests of one path. The context ends when the client goes away, which is noticed after a while and once the body
// is read, or when the server is closed.
type Endpoint func(context.Context, Request) Answer

// Config is what a Server is made from.
type Config struct {
	// Endpoints are those of the paths served, as they stand in a request.
	Endpoints map[string]Endpoint
	// ContentType and Encodings are those of the requests served; "" is that of bodies that are not compressed.
	ContentType string
	Encodings   []string
	// MaxBodyBytes is the longest body served, as sent.
	MaxBodyBytes int64
	// Fallback serves all other requests, and its timeouts are those of the others, too.
	Fallback *http.Server
	// Connected makes the parent of the contexts of a connection's requests.
	Connected func(context.Context, net.Conn) context.Context
}

// Server serves connections, with the methods of an http.Server. They may be called from several goroutines at once.
type Server struct {
	cfg     Config
	foreign *handover

	mu        sync.Mutex
	stopped   bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	serving   sync.WaitGroup // the connections' goroutines
	fallback  sync.WaitGroup // net/http's Serve
}

// New returns a server that serves nothing yet.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, foreign: newHandover(), listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{}}
}

// Serve accepts connections until the server is stopped, when it returns http.ErrServerClosed, or the listener fails, and closes the
// listener.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		_ = l.Close()
		return http.ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	if len(s.listeners) == 1 {
		s.fallback.Go(func() { _ = s.cfg.Fallback.Serve(s.foreign) }) // it ends when it is shut down
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		_ = l.Close()
	}()
	if err := accepting.Loop(l, s.begin); !s.stopping() {
		return err
	}
	return http.ErrServerClosed
}

func (s *Server) begin(raw net.Conn) {
	c := newConn(s, raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		_ = raw.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.serving.Go(func() {
		defer s.ended(c)
		c.serve()
	})
}

func (s *Server) ended(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Shutdown accepts no more connections and requests, and returns when those under way have been answered, or with the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.stop() {
		c.closeIdle()
	}
	s.cfg.Fallback.SetKeepAlivesEnabled(false) // its idle connections are closed now, and not only when ours have ended
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serving.Wait()
	}()
	select {
	case <-done: // nothing comes to net/http any more
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.cfg.Fallback.Shutdown(ctx)
	_ = s.foreign.Close()
	s.fallback.Wait()
	return err
}

// Close closes all connections; the contexts of their requests end. It returns when their goroutines have ended, net/http's excepted.
func (s *Server) Close() error {
	for _, c := range s.stop() {
		c.close()
	}
	err := s.cfg.Fallback.Close()
	_ = s.foreign.Close()
	s.serving.Wait()
	s.fallback.Wait()
	return err
}

// stop closes the listeners and returns the connections there are.
func (s *Server) stop() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for l := range s.listeners {
		_ = l.Close()
	}
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}
