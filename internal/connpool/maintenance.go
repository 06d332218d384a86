package connpool

import (
	"slices"
	"time"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// maintain sizes the pool, replaces connections and starts health checks. It sleeps until the next of these is due.
func (b *poolBalancer) maintain() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.wake:
		case <-timer.C:
		}
		now := time.Now()
		if next := b.tick(now); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(next.Sub(now))
		}
	}
}

// tick does what is due and returns when something is due next; zero is never.
func (b *poolBalancer) tick(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return time.Time{}
	}
	before := len(b.slots)
	b.grow(now)
	b.shrink(now)
	moved := b.spread(now)
	for _, s := range b.slots {
		b.ejectIfFailing(s, now)
		if s.next == nil && !s.current.retireAt.IsZero() && !now.Before(s.current.retireAt) {
			// A backend that has grown may show only here: nothing else asks for its addresses while all is well.
			b.cc.ResolveNow(resolver.ResolveNowOptions{})
			b.replace(s)
		}
		b.checkIfDue(s, now)
	}
	if before != len(b.slots) || moved || b.ejectionEnded(now) {
		b.publish(now)
	}
	return b.nextDue(now)
}

// grow opens connections when the load has been above the target for a growth window. The caller holds mu.
func (b *poolBalancer) grow(now time.Time) {
	if !b.growthAsked.Load() {
		return
	}
	if b.growAt.IsZero() {
		b.load.openWindow()
		b.growAt = now.Add(growthWindow)
		return
	}
	if now.Before(b.growAt) {
		return
	}
	b.growAt = now.Add(growthWindow)
	places := b.growable(now)
	if b.awaited(places) {
		return // what was opened last does not carry its share yet
	}
	target := len(b.slots)
	if len(places) > 0 {
		target = b.load.grownSize(target, b.maxSize(), b.inFlight.Load(), b.pool.cfg.TargetInFlightPerConnection)
	}
	if target == len(b.slots) {
		b.growthAsked.Store(false)
		b.growAt = time.Time{}
		return
	}
	b.pool.counters.growDecisions.Add(1)
	for len(b.slots) < target {
		before := len(b.slots)
		if b.openSlot(b.withFewest(places)); len(b.slots) == before {
			return // grpc-go is closing
		}
	}
}

// spread moves a connection from the endpoint with the most to the one with the fewest, and reports whether it did: calls go to connections, so a
// backend that has grown would carry little on its new addresses. The next move waits until the moved connection takes calls. The caller holds mu.
func (b *poolBalancer) spread(now time.Time) bool {
	places := b.growable(now)
	if len(places) == 0 || b.awaited(places) {
		return false
	}
	fewest := b.withFewest(places)
	if b.slotsOf(b.slots[b.leastUseful()].endpoint)-b.slotsOf(fewest) < 2 {
		return false
	}
	b.closeLeastUseful()
	b.openSlot(fewest)
	return true
}

// withFewest returns the one of some endpoints that has the fewest connections. The caller holds mu.
func (b *poolBalancer) withFewest(endpoints []resolver.Endpoint) resolver.Endpoint {
	return slices.MinFunc(endpoints, func(x, y resolver.Endpoint) int { return b.slotsOf(x) - b.slotsOf(y) })
}

// growable returns the endpoints that are worth more connections: those with one that takes calls, or where that is true of none, those
// with one that is ready. One that cannot be reached would otherwise get half of the new ones. The caller holds mu.
func (b *poolBalancer) growable(now time.Time) []resolver.Endpoint {
	var good, doubtful []resolver.Endpoint
	for _, e := range b.endpoints {
		ready, usable := false, false
		for _, s := range b.slots {
			if s.current.state == connectivity.Ready && sameEndpoint(s.endpoint, e) {
				ready, usable = true, usable || b.usable(s, now)
			}
		}
		switch {
		case usable:
			good = append(good, e)
		case ready:
			doubtful = append(doubtful, e)
		}
	}
	if len(good) == 0 {
		return doubtful
	}
	return good
}

// awaited reports whether a connection to one of the endpoints is being established. The caller holds mu.
func (b *poolBalancer) awaited(endpoints []resolver.Endpoint) bool {
	return slices.ContainsFunc(b.slots, func(s *slot) bool {
		return s.current.state != connectivity.Ready && !s.current.failing &&
			slices.ContainsFunc(endpoints, func(e resolver.Endpoint) bool { return sameEndpoint(e, s.endpoint) })
	})
}

// shrink closes the connections that the last idle time-out did not need. The caller holds mu.
func (b *poolBalancer) shrink(now time.Time) {
	idle := b.pool.cfg.IdleTimeout
	if idle == 0 || len(b.slots) <= b.minSize() {
		b.shrinkAt = time.Time{}
		return
	}
	if b.shrinkAt.IsZero() {
		b.load.peak.Store(b.inFlight.Load())
		b.shrinkAt = now.Add(idle)
		return
	}
	if now.Before(b.shrinkAt) {
		return
	}
	b.shrinkAt = now.Add(idle)
	target := b.load.shrunkSize(len(b.slots), b.minSize(), b.inFlight.Load(), b.pool.cfg.TargetInFlightPerConnection)
	for len(b.slots) > target {
		b.closeLeastUseful()
	}
}

// closeLeastUseful closes a connection to the endpoint with the most of them, one that is not ready first. The caller holds mu.
func (b *poolBalancer) closeLeastUseful() {
	i := b.leastUseful()
	b.closeSlot(b.slots[i])
	b.slots = slices.Delete(b.slots, i, i+1)
}

func (b *poolBalancer) leastUseful() int {
	best, bestScore := 0, -1
	for i, s := range b.slots {
		score := 2 * b.slotsOf(s.endpoint)
		if s.current.state != connectivity.Ready {
			score++
		}
		if score >= bestScore {
			best, bestScore = i, score
		}
	}
	return best
}

// ejectIfFailing takes a slot out of service when its calls failed in a row, and replaces its connection. When that would
// leave fewer than half of the slots, the fault is likely the backend's and not the connection's: the slot stays in
// service and its connection is replaced at most once per base time. The caller holds mu.
func (b *poolBalancer) ejectIfFailing(s *slot, now time.Time) {
	cfg := b.pool.cfg.Ejection
	c := s.current
	if s.next != nil || !b.failing(s) {
		return
	}
	if 2*b.usableCount(s, now) >= len(b.slots) {
		if now.Sub(s.ejectedUntil) > 10*cfg.BaseTime {
			s.ejections = 0
		}
		s.ejectedUntil = now.Add(min(cfg.BaseTime<<min(s.ejections, 4), 10*cfg.BaseTime))
		s.ejections++
		b.pool.counters.ejections.Add(1)
	} else if !s.replacedAt.IsZero() && now.Sub(s.replacedAt) < cfg.BaseTime {
		return
	}
	c.failures.Store(0)
	s.replacedAt = now
	b.replace(s)
	b.publish(now)
}

// failing reports whether the calls on a slot's connection failed in a row. The caller holds mu.
func (b *poolBalancer) failing(s *slot) bool {
	limit := b.pool.cfg.Ejection.ConsecutiveFailures
	return limit > 0 && s.current.state == connectivity.Ready && s.current.failures.Load() >= int64(limit)
}

// ejectionEnded reports whether a slot has come back since the last tick, and marks it as back. The caller holds mu.
func (b *poolBalancer) ejectionEnded(now time.Time) bool {
	ended := false
	for _, s := range b.slots {
		if s.heldBack && !now.Before(s.ejectedUntil) {
			ended = true
		}
		s.heldBack = now.Before(s.ejectedUntil)
	}
	return ended
}

// nextDue returns the earliest time at which tick has something to do. The caller holds mu.
func (b *poolBalancer) nextDue(now time.Time) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	consider(b.growAt)
	consider(b.shrinkAt)
	ejection := b.pool.cfg.Ejection
	for _, s := range b.slots {
		if s.next == nil {
			consider(s.current.retireAt)
		}
		if s.current.state == connectivity.Ready {
			consider(s.current.checkAt)
		}
		if now.Before(s.ejectedUntil) {
			consider(s.ejectedUntil)
		}
		if again := s.replacedAt.Add(ejection.BaseTime); now.Before(again) && b.failing(s) {
			consider(again)
		}
	}
	return next
}
