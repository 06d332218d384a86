package unarygrpc

import (
	"errors"
	"io"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

// countUnreadable counts a message that is refused with a status, unless there only was no room for it, which the budget counts.
func (s *Server) countUnreadable(code codes.Code) {
	if code != codes.Unavailable {
		s.unreadable.Add(1)
	}
}

// unreadable says what a frame that the framer does not take means for the connection.
func (c *conn) unreadable(h http2.FrameHeader, err error) error {
	var fault http2.StreamError
	switch {
	case !errors.As(err, &fault):
		return err
	case h.Type == http2.FrameHeaders && fault.Cause != nil:
		if !c.opens(h.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		return err
	case h.Type == http2.FrameHeaders, c.idle(h.StreamID):
		// Headers without a cause have more padding than frame, and were not decompressed: those that follow could not be either.
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return err
}

// resetFor refuses the call that an error concerns, and reports whether it is not the whole connection.
func (c *conn) resetFor(err error) bool {
	var fault http2.StreamError
	if !errors.As(err, &fault) {
		return false
	}
	c.reset(fault.StreamID, fault.Code)
	return true
}

// reset refuses a call with an error of HTTP/2.
func (c *conn) reset(id uint32, code http2.ErrCode) {
	c.abandon(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.output.pending = appendReset(c.output.pending, id, code)
}

// abandon forgets a call that its client no longer waits for.
func (c *conn) abandon(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		c.remove(s)
		s.abandon()
	}
}

// goAwayFor tells the client why its connection ends, if that is its fault.
func (c *conn) goAwayFor(err error) {
	var code http2.ErrCode
	why := ""
	var fault http2.ConnectionError
	switch {
	case errors.As(err, &fault):
		if code = http2.ErrCode(fault); code == http2.ErrCodeEnhanceYourCalm {
			why = "too_many_pings" // gRPC clients look for this, and ask less often then
		}
	case errors.Is(err, http2.ErrFrameTooLarge):
		code = http2.ErrCodeFrameSize
	default:
		return
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(lastWrite))
	c.mu.Lock()
	c.output.pending = appendGoAway(c.output.pending, c.lastID, code, why)
	c.finishing = true
	c.mu.Unlock()
	c.flush()
	c.mu.Lock()
	for !c.output.finished && !c.output.failed {
		c.output.room.Wait() // somebody else is writing
	}
	c.mu.Unlock()
	c.cancel()
	_, _ = io.Copy(io.Discard, c.reader) // see finish
}
