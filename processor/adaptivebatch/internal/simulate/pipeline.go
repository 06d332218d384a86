package simulate

import (
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// call is one caller's items until they are answered.
type call struct {
	client  int // of a waiting client, else -1
	arrived time.Duration
	items   int
	parts   int // not answered yet
	refused bool
}

// part is a call, or what a batch can take of it.
type part struct {
	call  *call
	items int
}

const (
	itemBytes    = 300 // what an item counts for admission
	pendingItems = 32 << 20 / itemBytes
	waitingItems = 32 << 20 / itemBytes
	maxWait      = 30 * time.Second
)

// pipeline is the processor: what processor/adaptivebatch does with one stream.
type pipeline struct {
	sim      *simulation
	cfg      controller.Config
	control  *controller.Controller
	arrivals controller.Arrivals

	queue   fifo[queued]
	items   int // in the queue
	held    int // calls without an answer
	pending int // items admitted
	door    fifo[*call]
	waiting int // items at the door

	inFlight controller.InFlight
	due      bool
	dueSince time.Duration
	armedAt  time.Duration // 0: the timer is not set
	quick    int           // answers at once, in a row
}

type queued struct {
	part
	at time.Duration
}

func (p *pipeline) arrive(c *call) {
	if p.waiting == 0 && (p.pending+c.items <= pendingItems || p.pending == 0) {
		p.held++
		p.enter(c)
		return
	}
	if p.waiting+c.items > waitingItems {
		p.sim.refused(c)
		return
	}
	p.held++
	p.waiting += c.items
	p.door.push(c)
}

func (p *pipeline) enter(c *call) {
	p.pending += c.items
	for left := c.items; left > 0; {
		n := left
		if ceiling := p.control.Decision().Ceiling; ceiling > 0 {
			n = min(n, ceiling)
		}
		p.queue.push(queued{part{c, n}, p.sim.now})
		p.items += n
		c.parts++
		left -= n
	}
	p.arrivals.Arrive(clock(p.sim.now), c.items, p.held)
	p.dispatchDue()
	p.schedule()
}

// schedule sends what is ready, or sets the timer.
func (p *pipeline) schedule() {
	for p.queue.len() > 0 && !p.due {
		d := p.control.Decision()
		if wait := p.wait(d); wait > 0 {
			p.arm(p.sim.now + wait)
			return
		}
		if !d.Free(p.inFlight, p.items) {
			p.due, p.dueSince = true, p.sim.now
			return
		}
		p.control.Waited(0)
		p.dispatch(d)
	}
}

func (p *pipeline) wait(d controller.Decision) time.Duration {
	age := p.sim.now - p.queue.front().at
	if p.items >= d.Target || age >= p.cfg.Timeout {
		return 0
	}
	return p.arrivals.Wait(clock(p.sim.now), controller.Waiting{
		Age: age, Items: p.items, Held: p.held, InFlight: p.inFlight, Timeout: p.cfg.Timeout,
	}, d)
}

func (p *pipeline) arm(at time.Duration) {
	if p.armedAt == 0 || at < p.armedAt {
		p.armedAt = at
		p.sim.events.push(event{at: at, kind: wake})
	}
}

func (p *pipeline) woken() {
	if p.sim.now == p.armedAt {
		p.armedAt = 0
		p.schedule()
	}
}

func (p *pipeline) dispatchDue() {
	for p.due {
		d := p.control.Decision()
		if !d.Free(p.inFlight, p.items) {
			return
		}
		p.due = false
		if p.queue.len() == 0 {
			return
		}
		p.control.Waited(p.sim.now - p.dueSince)
		p.dispatch(d)
		p.schedule()
	}
}

// dispatch closes a batch and hands it to the exporter.
func (p *pipeline) dispatch(d controller.Decision) {
	b := &batch{began: p.sim.now}
	size := d.Size(p.items)
	for p.queue.len() > 0 {
		next := p.queue.front()
		if len(b.parts) > 0 && size > 0 && b.items+next.items > size {
			break
		}
		b.parts = append(b.parts, next.part)
		b.items += next.items
		p.items -= next.items
		p.queue.pop()
	}
	p.inFlight.Exports++
	b.among = p.inFlight.Exports - p.inFlight.Retrying
	if p.sim.now >= p.sim.from {
		p.sim.result.Requests++
		p.sim.result.Items += b.items
	}
	p.sim.export(b)
}

// retrying notes whether a batch waits for its retry.
func (p *pipeline) retrying(b *batch, waits bool) {
	if b.waits == waits {
		return
	}
	b.waits = waits
	if waits {
		p.inFlight.Retrying++
	} else {
		p.inFlight.Retrying--
	}
}

// finished answers a batch's callers.
func (p *pipeline) finished(b *batch, ok bool) {
	p.inFlight.Exports--
	p.retrying(b, false)
	for _, part := range b.parts {
		c := part.call
		p.pending -= part.items
		c.refused = c.refused || !ok
		if c.parts--; c.parts == 0 {
			p.held--
			if c.refused {
				p.sim.refused(c)
			} else {
				p.sim.done(c)
			}
		}
	}
	for p.door.len() > 0 {
		c := *p.door.front()
		if expired := p.sim.now-c.arrived > maxWait; !expired && p.pending+c.items > pendingItems && p.pending > 0 {
			break
		} else if expired {
			p.held--
			p.sim.refused(c)
		}
		p.door.pop()
		p.waiting -= c.items
		if p.sim.now-c.arrived <= maxWait {
			p.enter(c)
		}
	}
	p.dispatchDue()
}
