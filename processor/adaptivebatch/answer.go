package adaptivebatch

import (
	"slices"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
)

// finish ends a batch with the result of its last parts: it answers their callers, and gives back its slot and its bytes.
func (b *batcher) finish(e *batch, last result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.inFlight.Exports--
	b.retrying(e, false)
	if e.peace != nil {
		e.peace.Stop() // a backend may ask for hours, and the batch would be kept as long
	}
	e.ended = true
	b.release(e.stream, e.bytes)
	e.stream.used = now
	b.settle(e, last)
	b.admitWaiting()
	b.dispatchDue(now)
	b.checkDrained()
}

// settled answers the callers of a batch's parts while others of it are sent again. The batch keeps its slot, and all of its bytes: what it
// sends from holds them until its end.
func (b *batcher) settled(e *batch, r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settle(e, r)
	b.admitWaiting() // a call that has failed takes what is left of it out of the queue
}

// settle gives parts their result. Each part of a batch comes here once.
func (b *batcher) settle(e *batch, r result) {
	for _, p := range e.parts[r.from:r.to] {
		if !p.abandoned() {
			e.wanted--
			p.call.leaveBatch(e)
		}
		b.partDone(p, r.err)
	}
}

// isWanted reports whether somebody waits for the result of one of these parts at least.
func (b *batcher) isWanted(e *batch, from, to int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(e.parts[from:to], func(p *part) bool { return !p.abandoned() })
}

// partDone notes the result of a part. A call's answer is known with its last part, or with the first error that makes the
// caller send everything again: what is still on its way would then only arrive twice. Such an error counts more than one by
// which the caller would give up everything, this part included.
func (b *batcher) partDone(p *part, err error) {
	c := p.call
	c.unanswered--
	if err != nil {
		if c.detached {
			b.telemetry.lost(p.items, err)
		}
		if c.err == nil || consumererror.IsPermanent(c.err) {
			c.err = err
		}
	}
	switch {
	case c.gone:
	case c.unanswered == 0:
		b.answer(c, c.err)
	case c.err != nil && !consumererror.IsPermanent(c.err):
		b.answer(c, c.err)
		b.abandon(c)
	}
}

// answer gives a call its only answer.
func (b *batcher) answer(c *call, err error) {
	if c.gone {
		return
	}
	c.gone = true
	b.unhold(c)
	c.answer <- err
}

// leave takes a call out whose caller no longer waits; err is its answer, unless there is one already.
func (b *batcher) leave(c *call, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expel(c, err)
	return <-c.answer
}

// expel answers a call before its result is known.
func (b *batcher) expel(c *call, err error) {
	if c.gone {
		return
	}
	b.answer(c, err)
	if c.door.listed {
		b.leaveDoor(c)
		c.free()
	} else {
		b.abandon(c)
	}
	b.admitWaiting()
	b.checkDrained()
}

// abandon is for a call that was let in and whose caller has its answer. Its items leave, if not yet sent; a batch that nobody
// waits for any more is cancelled.
func (b *batcher) abandon(c *call) {
	for i := range c.parts {
		if p := &c.parts[i]; p.queued.listed {
			c.stream.remove(p)
			p.payload.free()
			b.release(c.stream, p.bytes)
		}
	}
	for _, e := range c.batches {
		if e.wanted--; e.wanted == 0 {
			e.cancel()
		}
	}
}

// hold puts a call into the list of those that wait, if it is not there yet.
func (b *batcher) hold(c *call) {
	if c.held.listed {
		return
	}
	c.stream.held++
	b.held.push(c, &c.held)
	if b.held.length == 1 {
		b.armSweep(c)
	}
}

func (b *batcher) unhold(c *call) {
	if !c.held.listed {
		return
	}
	c.stream.held--
	b.held.remove(&c.held)
}

// armSweep sets the one timer that ends waits of max_wait. It fires for the call that is held longest; when that one was
// answered in time, the timer is set anew for the next, so that calls need no timers of their own.
func (b *batcher) armSweep(longest *call) {
	if b.sweeping {
		return
	}
	b.sweeping = true
	in := time.Until(longest.arrived.Add(b.cfg.MaxWait))
	if b.sweep == nil {
		b.sweep = time.AfterFunc(in, b.sweepHeld)
		return
	}
	b.sweep.Reset(in)
}

func (b *batcher) sweepHeld() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweeping = false
	now := time.Now()
	for b.held.first != nil {
		c := b.held.first.of
		if now.Sub(c.arrived) < b.cfg.MaxWait {
			b.armSweep(c)
			return
		}
		b.telemetry.refused(reasonMaxWait)
		b.expel(c, errMaxWait(b.cfg.MaxWait))
	}
}
