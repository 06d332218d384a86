package unarygrpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// prefixSize is what stands before a message: whether it is compressed, and its length.
const prefixSize = 5

// stream is one call. Until it begins, it belongs to the goroutine that reads the connection, and then to its own; what the
// connection's mutex guards is marked.
type stream struct {
	id       uint32
	method   Method
	encoding string // of a compressed message
	metadata metadata.MD
	deadline time.Time     // zero: none
	opened   time.Duration // since the connection was born
	// fault is why the call cannot be handled, httpStatus what that is in HTTP.
	fault      *status.Status
	httpStatus int

	buffers    mem.BufferPool
	open       bufpool.Reservation // for the call itself, until its message has it
	prefix     [prefixSize]byte
	prefixRead int
	message    bufpool.Gatherer
	received   int // bytes read of which the client has not been told

	// Guarded by the connection's mutex.
	begun      bool
	answered   bool               // its answer waits for the client's windows
	parked     bool               // for that of the connection, in conn.parked
	cancel     context.CancelFunc // once it has begun
	peerWindow int64              // what the client lets us send beyond the window of every call
}

// read reads n bytes of a frame into the message. Once there is a fault, it reads them over.
func (s *stream) read(r *bufio.Reader, n int, maxMessage int) error {
	for n > 0 {
		var step int
		var err error
		switch {
		case s.fault != nil:
			step, err = r.Discard(n)
		case s.prefixRead < prefixSize:
			step, err = io.ReadFull(r, s.prefix[s.prefixRead:min(prefixSize, s.prefixRead+n)])
			if s.prefixRead += step; s.prefixRead == prefixSize {
				s.announce(maxMessage)
			}
		case s.message.Missing() == 0:
			s.fail(codes.Internal, "a unary call has more than one message")
		default:
			space, full := s.message.Space(n)
			if full != nil {
				s.fail(codes.Unavailable, "%v", full)
				continue
			}
			step, err = io.ReadFull(r, space[:min(n, len(space))])
			s.message.Took(step)
		}
		if err != nil {
			return err
		}
		n -= step
	}
	return nil
}

// announce reads the prefix.
func (s *stream) announce(maxMessage int) {
	length := binary.BigEndian.Uint32(s.prefix[1:])
	switch {
	case s.prefix[0] > 1:
		s.fail(codes.Internal, "the message's first byte is %d, neither 0 nor 1", s.prefix[0])
	case s.prefix[0] == 1 && s.encoding == "":
		s.fail(codes.Internal, "the message is compressed, and no grpc-encoding says how")
	case uint64(length) > uint64(maxMessage):
		s.fail(codes.ResourceExhausted, "received message larger than max (%d vs. %d)", length, maxMessage)
	default:
		s.message.Begin(s.buffers, s.open, int(length))
		s.open = bufpool.Reservation{}
	}
}

func (s *stream) compressed() bool { return s.prefix[0] == 1 }

// fail notes why the call cannot be handled, and gives back what has been read of it.
func (s *stream) fail(code codes.Code, format string, a ...any) {
	s.fault = status.Newf(code, format, a...)
	s.message.Free()
}

// complete notes that the client sends nothing more.
func (s *stream) complete() {
	if s.fault == nil && (s.prefixRead < prefixSize || s.message.Missing() > 0) {
		s.fail(codes.Internal, "the call ended before its message was complete")
	}
}

// abandon ends a call whose answer nobody waits for. The connection's mutex is held, and the reading goroutine or the
// connection's end is who calls, so that nobody is filling the message.
func (s *stream) abandon() {
	s.open.End()
	if s.begun {
		s.cancel()
		return
	}
	s.message.Free()
}
