package adaptivebatch

import (
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
)

// finish answers the callers of a batch and gives back its slot and its bytes.
func (b *batcher) finish(e *batch, errs []error) {
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
	for i := range e.parts {
		b.partDone(&e.parts[i], errs[i])
	}
	b.admitWaiting()
	b.dispatchDue(now)
	b.checkDrained()
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
	if c.parts != nil { // still at the door
		b.leaveDoor(c)
		for _, p := range c.parts {
			p.free()
		}
		c.parts = nil
	} else {
		b.abandon(c)
	}
	b.admitWaiting()
	b.checkDrained()
}

// abandon is for a call that was let in and whose caller has its answer. Its items leave, if not yet sent; a batch that nobody
// waits for any more is cancelled.
func (b *batcher) abandon(c *call) {
	b.dropAbandoned(c.stream)
	for _, e := range c.batches {
		if e.wanted--; e.wanted == 0 {
			e.cancel()
		}
	}
}

// dropAbandoned takes the parts of callers that have left out of a stream's queue.
func (b *batcher) dropAbandoned(s *stream) {
	for _, p := range s.removeAbandoned() {
		p.payload.free()
		b.release(s, p.bytes)
	}
}

// hold puts a call into the list of those that wait, if it is not there yet.
func (b *batcher) hold(c *call) {
	if c.holding {
		return
	}
	c.holding = true
	c.stream.held++
	b.held.push(c)
	if b.held.length == 1 {
		b.armSweep(c)
	}
}

func (b *batcher) unhold(c *call) {
	if !c.holding {
		return
	}
	c.holding = false
	c.stream.held--
	b.held.remove(c)
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
	for c := b.held.first; c != nil; c = b.held.first {
		if now.Sub(c.arrived) < b.cfg.MaxWait {
			b.armSweep(c)
			return
		}
		b.telemetry.refused(reasonMaxWait)
		b.expel(c, errMaxWait(b.cfg.MaxWait))
	}
}
