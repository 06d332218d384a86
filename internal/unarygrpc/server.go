// Package unarygrpc is a gRPC server for unary calls whose messages stay the bytes they came in.
//
// grpc-go's server hands each frame of 16 KiB from the goroutine that reads the connection to the call's own, and each answer
// through a third that writes; for a gateway that only passes bytes on, this and what surrounds it costs more than reading,
// checking and sending them. Here the goroutine that reads a connection puts a message together in place, so that a call
// begins when its message is there, and answers that come at the same time leave in one write.
//
// It follows gRPC over HTTP/2, https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, and RFC 9113; frames and header
// compression are golang.org/x/net/http2's, handshakes grpc-go's credentials', decompressors those of grpc-go's registry.
// It has no streaming calls, no interceptors and no stats handlers: who needs these takes grpc-go's server.
package unarygrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/accepting"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/workers"
)

// Method serves the calls of one method.
type Method struct {
	// Handle takes a message, decompressed and borrowed until it returns. The context ends with the call's deadline, its
	// cancellation or its connection. An error without a gRPC status is told as UNKNOWN. It runs in a goroutine of its own.
	Handle func(ctx context.Context, message mem.BufferSlice) error
	// Answer is the encoded message that answers every call without an error, of MaxAnswerBytes at most.
	Answer []byte
}

// Config is what a Server is made from. Zero values mean grpc-go's defaults, except where it says otherwise.
type Config struct {
	// Methods are the methods by full name, "/package.Service/Method".
	Methods map[string]Method
	// Buffers are where messages are read to. Required.
	Buffers mem.BufferPool
	// Budget, if set, bounds what calls take until they are handled: what is kept of their headers, and their messages while they arrive and while
	// they are decompressed. A call for which it has no room is told so with UNAVAILABLE.
	Budget *bufpool.Budget
	// Credentials secure the connections; nil: plain text.
	Credentials credentials.TransportCredentials
	// MaxMessageBytes is the largest message, before and after decompression. Default 4 MiB.
	MaxMessageBytes int
	// MaxConcurrentStreams bounds the calls of one connection. Default: no bound.
	MaxConcurrentStreams uint32
	// ReadBufferBytes is the buffer of a connection. Default and maximum 64 KiB: what is read together should still be in the
	// processor's cache when it is copied to its message.
	ReadBufferBytes int
	// Keepalive and Enforcement are as in grpc-go.
	Keepalive   keepalive.ServerParameters
	Enforcement keepalive.EnforcementPolicy
	// Connected, if set, makes the parent of the contexts of a connection's calls. The context it is given carries the peer.
	Connected func(context.Context) context.Context
	// Incoming, if set, is called before each call with its metadata, which then also stands in the context; without it
	// metadata is not kept. An error ends the call; without a gRPC status it is told as UNAUTHENTICATED. It runs in the call's goroutine.
	Incoming func(context.Context, metadata.MD) (context.Context, error)
}

const (
	// MaxAnswerBytes is the length of an Answer that fits a frame of any client's.
	MaxAnswerBytes = maxFrame - prefixSize

	defaultMaxMessage = 4 << 20
	maxReadBuffer     = 64 << 10
	// handshakeTimeout bounds how long a connection may take to say what it is.
	handshakeTimeout = 2 * time.Minute
)

// ErrStopped is returned by Serve after Stop or GracefulStop.
var ErrStopped = errors.New("the server has been stopped")

// Server serves connections. Its methods may be called from several goroutines at once.
type Server struct {
	cfg     Config
	workers *workers.Pool[task]
	conns   *accepting.Server[*conn]

	unreadable atomic.Uint64
}

// New returns a server that serves nothing yet. It panics when an Answer is too long.
func New(cfg Config) *Server {
	for name, m := range cfg.Methods {
		if len(m.Answer) > MaxAnswerBytes {
			panic(fmt.Sprintf("unarygrpc: the answer of %s has %d bytes, and must have %d at most", name, len(m.Answer), MaxAnswerBytes))
		}
	}
	if cfg.MaxMessageBytes <= 0 {
		cfg.MaxMessageBytes = defaultMaxMessage
	}
	if cfg.ReadBufferBytes <= 0 || cfg.ReadBufferBytes > maxReadBuffer {
		cfg.ReadBufferBytes = maxReadBuffer
	}
	cfg.Keepalive, cfg.Enforcement = keepaliveDefaults(cfg.Keepalive, cfg.Enforcement)
	s := &Server{cfg: cfg, workers: workers.New(task.run)}
	s.conns = accepting.New(func(raw net.Conn) *conn { return newConn(s, raw) }, (*conn).serve, ErrStopped)
	return s
}

// Stats is what the server does at the moment.
type Stats struct {
	// Connections are open, Calls under way: their message is there and their answer is not.
	Connections, Calls int
	// Unreadable is how many messages have been refused that were longer than allowed, not as long as their prefix says, or could not be
	// decompressed.
	Unreadable uint64
}

// Stats returns what the server does at the moment.
func (s *Server) Stats() Stats {
	conns := s.conns.All()
	stats := Stats{Connections: len(conns), Unreadable: s.unreadable.Load()}
	for _, c := range conns {
		stats.Calls += c.running()
	}
	return stats
}

// Serve accepts connections until the server is stopped or the listener fails, and closes the listener.
func (s *Server) Serve(l net.Listener) error { return s.conns.Serve(l) }

// GracefulStop accepts no more connections and calls, and returns when the calls under way have been answered.
func (s *Server) GracefulStop() {
	for _, c := range s.stop() {
		go c.drain() // which waits for its client to read
	}
	s.conns.Wait()
}

// Stop closes all connections; their calls are cancelled. It returns when their goroutines have ended.
func (s *Server) Stop() {
	for _, c := range s.stop() {
		c.close()
	}
	s.conns.Wait()
}

// stop accepts no more connections, and returns those there are.
func (s *Server) stop() []*conn {
	s.workers.Stop()
	return s.conns.Stop()
}
