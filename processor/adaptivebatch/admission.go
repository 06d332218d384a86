package adaptivebatch

import "time"

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
	if len(c.stream.waiting) == 0 {
		b.waitingStreams = append(b.waitingStreams, c.stream)
	}
	c.stream.waiting = append(c.stream.waiting, c)
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
		c := b.waitingStreams[next].waiting[0]
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
	for i, other := range s.waiting {
		if other == c {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			break
		}
	}
	if len(s.waiting) == 0 {
		s.waiting = nil
		for i, other := range b.waitingStreams {
			if other == s {
				b.waitingStreams = append(b.waitingStreams[:i:i], b.waitingStreams[i+1:]...)
				break
			}
		}
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
	items := 0
	for _, p := range c.parts {
		n := p.items()
		items += n
		s.push(part{call: c, payload: p, items: n, bytes: int64(p.bytes()), arrived: now})
	}
	c.unanswered = len(c.parts)
	c.parts = nil
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
