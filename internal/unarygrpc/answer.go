package unarygrpc

import (
	"context"
	"errors"
	"math"
	"net/http"
	"runtime"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/status"
)

const (
	// maxPending is how much may wait to be written before a client is no longer read from: it does not read what it is told.
	maxPending = 64 << 10
	// lastWrite and linger bound how long the end of a connection is waited for, once all has been said.
	lastWrite = time.Second
	linger    = time.Second
)

// output is what waits to be written to a connection, guarded by its mutex. Whoever appends to it flushes; one does at a time, and
// takes along what others append meanwhile.
type output struct {
	pending, spare []byte
	writing        bool
	failed         bool
	finished       bool // the last has been said, and what would follow is dropped
	// room is signalled when there is less to write, or nothing can be written any more, or a call has ended.
	room sync.Cond
}

func (o *output) fail() {
	o.failed = true
	o.room.Broadcast()
}

// flush writes what is pending, unless somebody does already.
func (c *conn) flush() {
	o := &c.output
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.writing {
		return
	}
	o.writing = true
	for (len(o.pending) > 0 || c.finishing) && !o.failed && !o.finished {
		if len(o.pending) == 0 {
			o.finished = true
			c.mu.Unlock()
			c.finish()
			c.mu.Lock()
			o.room.Broadcast()
			break
		}
		// Those whose calls were answered together with this one get to append their answers: one write instead of many.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		b := o.pending
		o.pending = o.spare[:0]
		c.mu.Unlock()
		_, err := c.net.Write(b)
		c.mu.Lock()
		if o.spare = b[:0]; cap(b) > maxPending {
			o.spare = nil
		}
		if err != nil {
			o.fail()
			_ = c.raw.Close() // wakes the reading goroutine
		}
		o.room.Broadcast()
	}
	o.writing = false
	if o.finished {
		o.pending = nil
	}
}

// finish says that nothing more comes, and lets the reading goroutine wait a little for the client to say the same: closing at once would
// let the system drop the last answers when the client is still sending.
func (c *conn) finish() {
	_ = c.raw.SetReadDeadline(time.Now().Add(linger))
	if half, can := c.net.(interface{ CloseWrite() error }); can {
		_ = half.CloseWrite()
		return
	}
	_ = c.raw.Close()
}

// throttle waits while the client does not read, or has as many calls handled as it may have. It reports whether the
// connection is still good.
func (c *conn) throttle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := int(c.server.cfg.MaxConcurrentStreams)
	for !c.output.failed && (len(c.output.pending) > maxPending || limit > 0 && c.calls >= 2*limit) {
		c.output.room.Wait()
	}
	return !c.output.failed
}

// answer answers a call that was handled. The mutex is held.
func (c *conn) answer(s *stream, err error) {
	if err != nil {
		c.output.pending = appendRefusal(c.output.pending, s.id, c.beginHeaders(), http.StatusOK, statusOf(err))
		c.remove(s)
		return
	}
	s.answered = true
	c.release(s)
}

// refuse answers a call that is not handled; ended says whether its client has sent all of it.
func (c *conn) refuse(s *stream, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[s.id] == s {
		c.refuseLocked(s, ended)
	}
}

// refuseUnreadable refuses a call whose message is at fault, and counts it.
func (c *conn) refuseUnreadable(s *stream, ended bool) {
	c.server.countUnreadable(s.fault.Code())
	c.refuse(s, ended)
}

// refuseLocked is refuse of a call that there is. The mutex is held.
func (c *conn) refuseLocked(s *stream, ended bool) {
	c.output.pending = appendRefusal(c.output.pending, s.id, c.beginHeaders(), s.httpStatus, s.fault)
	if !ended {
		c.output.pending = appendReset(c.output.pending, s.id, http2.ErrCodeNo) // it need not send the rest
	}
	c.remove(s)
}

// remove forgets a call. The mutex is held.
func (c *conn) remove(s *stream) {
	s.open.End()
	delete(c.streams, s.id)
	if s.parked {
		c.leaveLine(s)
	}
	c.keepalive.strikesForgiven = true
	if len(c.streams) == 0 {
		c.keepalive.idleSince = time.Now()
	}
	c.checkDrained()
}

// startDraining tells the client to begin no more calls. Those that it has begun meanwhile are handled: not every client, nor every proxy,
// can send them elsewhere. That it has heard is known when it answers the ping. The mutex is held.
func (c *conn) startDraining(why string) {
	if c.leaving {
		return
	}
	c.leaving = true
	c.keepalive.left = time.Now()
	c.output.pending = appendGoAway(c.output.pending, math.MaxInt32, http2.ErrCodeNo, why)
	c.output.pending = appendPing(c.output.pending, 0, leavePing)
}

// stopBeginning begins no more calls; the client hears which was the last. The mutex is held.
func (c *conn) stopBeginning() {
	if c.draining {
		return
	}
	c.draining = true
	c.output.pending = appendGoAway(c.output.pending, c.lastID, http2.ErrCodeNo, "")
	c.checkDrained()
}

// checkDrained ends a connection that begins no more calls after its last one. The mutex is held.
func (c *conn) checkDrained() {
	if c.draining && len(c.streams) == 0 && c.calls == 0 {
		c.finishing = true
	}
}

func (c *conn) running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// statusOf returns the status that an error is told as.
func statusOf(err error) *status.Status {
	s, has := status.FromError(err)
	if !has && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return status.FromContextError(err)
	}
	return s
}
