// Package controller decides how large batches become, how long they wait and how many are sent at once.
//
// It is pure: it has no clock, no goroutine and no telemetry. Time comes in with every call, so that the processor drives
// it with real time, and tests and simulations drive it with theirs. Its types are not safe for concurrent use.
//
// Files: controller.go has the bounds and the decision, model.go learns what a request costs, and classes.go what each size does;
// size.go bounds sizes, limit.go finds how many to send at once, arrivals.go when waiting pays, queue.go what to do where nothing
// can be learnt.
package controller

import (
	"math"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// Config bounds the decisions. All sizes are in items.
type Config struct {
	// Adaptive: without it the decision is always the start, and the limit MaxConcurrency.
	Adaptive bool
	// StartItems is the first target.
	StartItems int
	// MinItems and MaxItems bound the target; MaxItems 0 means no bound.
	MinItems, MaxItems int
	// Timeout is the longest an item waits for its batch to be closed.
	Timeout time.Duration
	// MaxConcurrency bounds the limit.
	MaxConcurrency int
	// CallersWait for the results of their items.
	CallersWait bool
}

// Decision is what to do until the next observation.
type Decision struct {
	// Target is the number of items at which a batch leaves although another may join it.
	Target int
	// Full is the number of items from which on a batch gains nothing from growing; 0: it always does.
	Full int
	// Ceiling is the number of items above which no batch is built, and calls are split; 0 means no ceiling.
	Ceiling int
	// Join is the number of items up to which calls are joined; it is at most the ceiling, and 0 means no bound.
	Join int
	// Linger is the longest that waiting for more items is worth while an export slot is free. With Adaptive it is bounded
	// by the request's own latency, see Arrivals.
	Linger time.Duration
	// Limit is the number of exports that may be in flight with batches that are not full, and Cap that for all.
	Limit, Cap int
	// Most is the configured bound on exports in flight, those that wait for their retry included.
	Most int
	// Reason says what changed the decision last, as an attribute value.
	Reason Reason
	// paidOff is the number of items whose part of a request's latency is as long as the fixed part; 0: not known.
	paidOff float64
}

// Size returns up to how many items the next batch is joined from a queue of so many (0: no bound). A queue little longer than
// the target leaves as one batch. A longer one is divided: each batch costs the others its fixed part, and the last one leaves the
// backend idle in part while it is worked on. With a queue of q items and c batches at once the two add up to
// (q/n)(a + b n)/c + (a + b n), which is least for n = sqrt(a/b q/c).
func (d Decision) Size(queued int) int {
	least := undivided * d.Target
	if d.Join == 0 || d.paidOff == 0 || queued <= least {
		return d.Join
	}
	return min(d.Join, max(least, int(math.Sqrt(d.paidOff*float64(queued)/float64(d.Cap)))))
}

// InFlight is what has been sent and not been answered.
type InFlight struct {
	// Exports is the number of batches handed to the exporter.
	Exports int
	// Retrying is the number of those among them whose last attempt failed: they wait for their retry, not for the backend.
	Retrying int
}

// Free reports whether a batch of so many items may be sent now.
func (d Decision) Free(f InFlight, items int) bool {
	if f.Exports >= d.Most {
		return false
	}
	active := f.Exports - f.Retrying
	return active < d.Limit || d.Full > 0 && items >= d.Full && active < d.Cap
}

// Reason names what moved a decision.
type Reason string

// The reasons.
const (
	Start     Reason = "start"
	Fixed     Reason = "fixed"
	Knee      Reason = "knee"
	TooLarge  Reason = "too_large"
	Deadline  Reason = "deadline"
	Dear      Reason = "cost_per_item"
	Overload  Reason = "overload"
	Inflation Reason = "inflation"
	SlotWait  Reason = "slot_wait"
	Drained   Reason = "drained"
	AtOnce    Reason = "answers_at_once"
	QueueFull Reason = "queue_full"
)

// Observation is one attempt to send a batch that has ended.
type Observation struct {
	attempt.Attempt
	// InFlight is the number of exports that the backend had to work on when it ended, and Among when it began, itself included.
	InFlight, Among int
	// Now is when it ended.
	Now time.Time
}

const (
	// lingerShare is the part of a request's fixed latency that may be spent waiting for it to grow. A batch that leaves later
	// by a tenth of the round trip costs its items little; one that leaves half as often costs half as much to send.
	lingerShare = 0.1
	// targetStep is the part of the way to a new knee that the target goes at once, and at most once in the time that a request takes: one
	// noisy fit, or one moment of a busy machine in which many requests end, moves it little, a lasting change moves it within a few.
	targetStep = 0.5
	// undivided is how many times the target a queue may be that leaves as one batch: that is nearly always cheaper for the
	// backend, and twice the target takes less than twice as long.
	undivided = 2
	// exploration is how many times larger than the largest batches accepted so far a batch may be made, a few at a time.
	exploration = 2
	// deadlineShare is the part of the time that a deadline leaves for items which they may take. The rest is for those before it in
	// the backend, and for chance.
	deadlineShare = 1.0 / 3
	// deadlineShrink cuts the ceiling below a batch that missed its deadline where nothing better is known.
	deadlineShrink = 0.7
)

// Controller turns observations into decisions.
type Controller struct {
	cfg       Config
	model     model
	limit     limiter
	ceiling   ceiling
	join      ceiling
	suspect   suspect
	target    float64
	targetAt  time.Time // when it was last moved
	kneeKnown bool
	paidOff   float64
	atOnce    bool
	queue     queue
	reason    Reason
	decision  Decision
}

// suspect is a size at which an item took much longer, once. It is looked at again before anything larger is tried.
type suspect struct {
	items int // 0: none
	at    time.Time
}

// New returns a controller that starts at cfg.StartItems.
func New(cfg Config) *Controller {
	c := &Controller{
		cfg: cfg, target: float64(cfg.StartItems), reason: Start, limit: newLimiter(cfg.MaxConcurrency),
		ceiling: ceiling{firstHold: ceilingHold, growth: ceilingGrowth}, join: ceiling{firstHold: joinHold, growth: joinGrowth},
	}
	if !cfg.Adaptive {
		c.reason = Fixed
	}
	c.decide()
	return c
}

// Decision returns what to do now.
func (c *Controller) Decision() Decision { return c.decision }

// Waited tells how long a batch that was due waited for a free slot, 0 included.
func (c *Controller) Waited(d time.Duration) { c.limit.waited(d) }

// AnswersAtOnce tells that the next component answers before anything is sent. Latencies say nothing then.
func (c *Controller) AnswersAtOnce() {
	c.atOnce = true
	if !c.cfg.CallersWait {
		c.queue.step, c.queue.least = 1, 1
	}
	if c.cfg.Adaptive {
		c.reason = AtOnce
	}
	c.decide()
}

// Observe learns from an attempt.
func (c *Controller) Observe(o Observation) {
	if !c.cfg.Adaptive || o.Items <= 0 {
		return
	}
	if c.atOnce {
		if c.queue.observe(o) {
			c.reason = AtOnce
			if c.queue.step > c.queue.least {
				c.reason = QueueFull
			}
			c.decide()
		}
		return
	}
	switch o.Outcome {
	case attempt.Accepted:
		c.accepted(o)
	case attempt.TooLarge:
		if c.ceiling.refused(o.Items, o.Now) {
			c.reason = TooLarge
		}
	case attempt.DeadlineExceeded:
		c.deadline(o)
	case attempt.Overloaded:
		if c.limit.overloaded(o) {
			c.reason = Overload
		}
	case attempt.Unavailable, attempt.Rejected, attempt.Failed, attempt.Canceled:
		return // says nothing about how much the backend carries
	}
	c.decide()
}

func (c *Controller) accepted(o Observation) {
	n := float64(o.Items)
	predicted, known := c.model.predict(n)
	if !c.limit.draining { // a drain compares with what was learnt before it
		c.model.observe(o)
	}
	reason := c.limit.accepted(o, predicted, known && c.model.trusted())
	if reason == Drained {
		c.model.scale(c.limit.drainedTo)
	}
	if reason != "" {
		c.reason = reason
	}
	c.ceiling.took(o.Items, o.Now)
	c.join.took(o.Items, o.Now)
	c.avoidDear(o)
	if paidOff, ok := c.model.paidOff(); ok && o.Now.Sub(c.targetAt) >= o.Latency {
		c.kneeKnown, c.paidOff, c.targetAt = true, paidOff, o.Now
		c.target = min(c.target+targetStep*(kneeFactor*paidOff-c.target), math.MaxInt32)
		if c.reason == Start {
			c.reason = Knee
		}
	}
}

// avoidDear stops joining to sizes at which an item takes much longer, once that was so twice, one after the other: what makes all
// requests slow that are under way at a moment happens once.
func (c *Controller) avoidDear(o Observation) {
	upTo, dearer, known := c.model.classes.tooDear(float64(o.Items), o.Among)
	if c.suspect.items > 0 && o.Now.Sub(c.suspect.at) > joinHold {
		c.suspect = suspect{}
	}
	switch {
	case !known:
	case !dearer:
		if o.Items >= c.suspect.items {
			c.suspect = suspect{}
		}
	case c.suspect.items == 0:
		c.suspect = suspect{items: o.Items, at: o.Now}
	case !o.Now.Add(-o.Latency).Before(c.suspect.at):
		c.suspect = suspect{}
		if c.join.lower(max(upTo, float64(c.cfg.MinItems)), o.Now) {
			c.reason = Dear
		}
	}
}

// deadline cuts what was to blame: the size, if a batch of this size takes most of the time even alone, else the number in
// flight.
func (c *Controller) deadline(o Observation) {
	n, seconds := float64(o.Items), o.Latency.Seconds()
	if alone, _ := c.model.predict(n); alone <= seconds/2 && o.InFlight > 1 {
		if c.limit.overloaded(o) {
			c.reason = Deadline
		}
		return
	}
	to := deadlineShrink * n
	if a, b, ok := c.model.fit(); ok && b > 0 && a < seconds/2 { // else no size is small enough
		to = min(to, deadlineShare*(seconds-a)/b)
	}
	if c.ceiling.lower(max(1, to), o.Now) {
		c.reason = Deadline
	}
}

func (c *Controller) decide() {
	d := Decision{
		Target: c.cfg.StartItems, Ceiling: c.cfg.MaxItems, Join: c.cfg.MaxItems, Linger: c.cfg.Timeout,
		Limit: c.cfg.MaxConcurrency, Cap: c.cfg.MaxConcurrency, Most: c.cfg.MaxConcurrency, Reason: c.reason,
	}
	switch {
	case !c.cfg.Adaptive:
	case c.atOnce:
		c.queue.decide(&d)
	default:
		d.Ceiling = c.ceiling.within(c.cfg.MaxItems)
		d.Join = c.join.within(d.Ceiling)
		c.target = max(c.target, float64(c.cfg.MinItems))
		if d.Join > 0 {
			c.target = min(c.target, float64(d.Join))
		}
		d.Target = max(1, int(c.target))
		d.Full = d.Join
		if c.kneeKnown {
			d.Full = d.Target
		}
		c.explore(&d)
		d.paidOff = c.paidOff
		d.Linger = min(d.Linger, time.Duration(lingerShare*c.model.fixed()*float64(time.Second)))
		d.Limit, d.Cap = c.limit.value(), c.limit.capValue()
	}
	c.decision = d
}

// explore keeps a decision to sizes that have been seen to work. Larger ones are tried in steps, and few at once: they may take many
// times longer than a straight line says, or be refused.
func (c *Controller) explore(d *Decision) {
	known := max(c.cfg.StartItems, c.cfg.MinItems, int(c.model.wellKnown))
	switch {
	case c.suspect.items > 0:
		d.Full = 0
		known = max(c.cfg.MinItems, min(known, c.suspect.items))
	case d.Full > extrapolation*known:
		d.Full = 0 // it may turn out to gain from growing further
		known *= exploration
	default:
		known = max(extrapolation*known, undivided*d.Target)
	}
	if d.Join == 0 || known < d.Join {
		d.Join = known
	}
	d.Target = min(d.Target, d.Join)
}
