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
)

// prefixSize is what stands before a message: whether it is compressed, and its length.
const prefixSize = 5

// firstChunk is by how much the buffer for the beginning of a message may be larger than its first frame: 64 KiB when that is full. What
// follows is read into buffers no larger than what has arrived already. So a client that announces much and sends little takes at most that
// many times the memory of what it has sent.
const firstChunk = 4

// stream is one call. Until it begins, it belongs to the goroutine that reads the connection, and then to its own; what the
// connection's mutex guards is marked.
type stream struct {
	id       uint32
	method   Method
	encoding string // of a compressed message
	metadata metadata.MD
	deadline time.Time // zero: none
	// fault is why the call cannot be handled, httpStatus what that is in HTTP.
	fault      *status.Status
	httpStatus int

	buffers    mem.BufferPool
	prefix     [prefixSize]byte
	prefixRead int
	missing    int // bytes of the message that have not arrived
	message    mem.BufferSlice
	chunk      *[]byte // the last buffer of the message while it is being filled
	filled     int
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
		case s.missing == 0:
			s.fail(codes.Internal, "a unary call has more than one message")
		default:
			b := s.space(n)
			step, err = io.ReadFull(r, b[:min(n, len(b))])
			s.took(step)
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
		s.missing = int(length)
	}
}

func (s *stream) compressed() bool { return s.prefix[0] == 1 }

// space returns the unfilled part of the message's last buffer. There are n bytes to read at least.
func (s *stream) space(n int) []byte {
	if s.chunk == nil {
		s.chunk = s.buffers.Get(min(s.missing, max(firstChunk*n, s.message.Len())))
		s.filled = 0
	}
	return (*s.chunk)[s.filled:]
}

// took notes that n bytes were read into the space.
func (s *stream) took(n int) {
	s.filled += n
	s.missing -= n
	if s.filled == len(*s.chunk) {
		s.message = append(s.message, mem.NewBuffer(s.chunk, s.buffers))
		s.chunk = nil
	}
}

// fail notes why the call cannot be handled, and gives back what has been read of it.
func (s *stream) fail(code codes.Code, format string, a ...any) {
	s.fault = status.Newf(code, format, a...)
	s.free()
}

// complete notes that the client sends nothing more.
func (s *stream) complete() {
	if s.fault == nil && (s.prefixRead < prefixSize || s.missing > 0) {
		s.fail(codes.Internal, "the call ended before its message was complete")
	}
}

// free gives back the buffers of a message that will not be handled.
func (s *stream) free() {
	if s.chunk != nil {
		s.buffers.Put(s.chunk)
		s.chunk = nil
	}
	s.message.Free()
	s.message = nil
}

// abandon ends a call whose answer nobody waits for. The connection's mutex is held, and the reading goroutine or the
// connection's end is who calls, so that nobody is filling the message.
func (s *stream) abandon() {
	if s.begun {
		s.cancel()
		return
	}
	s.free()
}
