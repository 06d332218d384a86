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
	cfg   Config
	conns *accepting.Server[*conn]

	foreign  *handover
	begun    sync.Once
	fallback sync.WaitGroup // net/http's Serve
}

// New returns a server that serves nothing yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, foreign: newHandover()}
	s.conns = accepting.New(func(raw net.Conn) *conn { return newConn(s, raw) }, (*conn).serve, http.ErrServerClosed)
	return s
}

// Serve accepts connections until the server is stopped, when it returns http.ErrServerClosed, or the listener fails, and closes the
// listener.
func (s *Server) Serve(l net.Listener) error { return s.conns.Serve(l) }

// handOver gives net/http a connection of which the given bytes have been read. With the first one, net/http begins to serve; as that is in the
// goroutine of a connection, a shutdown, which waits for these first, knows of it.
func (s *Server) handOver(c net.Conn, read []byte) {
	s.begun.Do(func() {
		s.fallback.Go(func() { _ = s.cfg.Fallback.Serve(s.foreign) }) // it ends when it is shut down
	})
	s.foreign.give(c, read)
}

// Shutdown accepts no more connections and requests, and returns when those under way have been answered, or with the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.conns.Stop() {
		c.closeIdle()
	}
	s.cfg.Fallback.SetKeepAlivesEnabled(false) // its idle connections are closed now, and not only when ours have ended
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.conns.Wait()
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
	for _, c := range s.conns.Stop() {
		c.close()
	}
	err := s.cfg.Fallback.Close()
	_ = s.foreign.Close()
	s.conns.Wait()
	s.fallback.Wait()
	return err
}
