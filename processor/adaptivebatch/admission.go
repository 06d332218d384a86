package adaptivebatch

import (
	"slices"
	"time"
)

// Admission is by bytes: what is buffered or in flight is bounded by max_pending_bytes, and what waits at the door by
// max_waiting_bytes. All of it runs under the batcher's mutex.

// admit lets a call in, leaves it at the door, or refuses it.
func (b *batcher) admit(c *call) error {
	if b.waitingCalls == 0 && b.fits(c) {
		b.enter(c)
		return nil
	}
	limit := b.cfg.MaxWaitingBytes
	switch {
	case !b.cfg.BlockOnOverflow:
		b.telemetry.refused(reasonPendingBytes)
		return errFull("max_pending_bytes", b.cfg.MaxPendingBytes, c.bytes)
	case b.waitingBytes+c.bytes > limit && b.waitingCalls > 0:
		b.telemetry.refused(reasonWaitingBytes)
		return errFull("max_waiting_bytes", limit, c.bytes)
	}
	if c.stream.waiting.length == 0 {
		b.waitingStreams = append(b.waitingStreams, c.stream)
	}
	c.stream.waiting.push(c, &c.door)
	b.waitingCalls++
	b.waitingBytes += c.bytes
	b.hold(c)
	b.admitWaiting()
	return nil
}

// fits: a call larger than all that may be pending is let in when nothing else is, or it could never be sent.
func (b *batcher) fits(c *call) bool {
	return b.pending+c.bytes <= b.cfg.MaxPendingBytes || b.pending == 0
}

// admitWaiting lets in what has room. Among streams the one with the least pending comes first, so that one that sends
// without end cannot keep the others out; within a stream the order is that of arrival.
func (b *batcher) admitWaiting() {
	for len(b.waitingStreams) > 0 {
		next := 0
		for i, s := range b.waitingStreams {
			if s.pending < b.waitingStreams[next].pending {
				next = i
			}
		}
		c := b.waitingStreams[next].waiting.first.of
		if !b.fits(c) {
			return
		}
		b.leaveDoor(c)
		b.telemetry.waited(time.Since(c.arrived))
		b.enter(c)
	}
}

// leaveDoor takes a call from the door, because it was let in or its caller has left.
func (b *batcher) leaveDoor(c *call) {
	s := c.stream
	s.waiting.remove(&c.door)
	if s.waiting.length == 0 {
		i := slices.Index(b.waitingStreams, s)
		b.waitingStreams = slices.Delete(b.waitingStreams, i, i+1)
	}
	b.waitingCalls--
	b.waitingBytes -= c.bytes
}

// enter puts a call's parts into its stream's queue.
func (b *batcher) enter(c *call) {
	now := time.Now()
	s := c.stream
	b.pending += c.bytes
	s.pending += c.bytes
	c.entered = now
	items := 0
	for i := range c.parts {
		items += c.parts[i].items
		s.push(&c.parts[i])
	}
	c.unanswered = len(c.parts)
	if b.cfg.WaitForResult {
		b.hold(c)
		s.arrivals.Arrive(now, items, s.held)
	} else {
		s.arrivals.Arrive(now, items, 0)
		c.detached = true
		b.answer(c, nil)
	}
	if s.due {
		b.dispatchDue(now) // it may be full now, which opens slots that others are kept from
	}
	b.schedule(s, now)
}

// release gives back the bytes of parts that have been answered or dropped.
func (b *batcher) release(s *stream, bytes int64) {
	b.pending -= bytes
	s.pending -= bytes
}
