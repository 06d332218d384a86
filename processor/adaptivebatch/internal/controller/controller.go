// Package controller decides how large batches become, how long they wait and how many are sent at once.
//
// It is pure: it has no clock, no goroutine and no telemetry. Time comes in with every call, so that the processor drives
// it with real time, and tests and simulations drive it with theirs. Its types are not safe for concurrent use.
//
// Files: controller.go has the bounds and the decision, model.go learns what a request costs, limit.go how many to send
// at once, arrivals.go when waiting pays.
package controller

import (
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
}

// Decision is what to do until the next observation.
type Decision struct {
	// Target is the number of items at which a batch leaves although another may join it.
	Target int
	// Full is the number of items from which on a batch gains nothing from growing; 0: it always does.
	Full int
	// Ceiling is the number of items above which no batch is built; 0 means no ceiling.
	Ceiling int
	// Linger is the longest that waiting for more items is worth while an export slot is free. With Adaptive it is bounded
	// by the request's own latency, see Arrivals.
	Linger time.Duration
	// Limit is the number of exports that may be in flight with batches that are not full, and Cap that for all.
	Limit, Cap int
	// Most is the configured bound on exports in flight, those that wait for their retry included.
	Most int
	// Reason says what changed the decision last, as an attribute value.
	Reason Reason
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
	Overload  Reason = "overload"
	Inflation Reason = "inflation"
	SlotWait  Reason = "slot_wait"
	Drained   Reason = "drained"
	AtOnce    Reason = "answers_at_once"
)

// Observation is one attempt to send a batch that has ended.
type Observation struct {
	attempt.Attempt
	// InFlight is the number of exports that the backend was working on when it ended, itself included.
	InFlight int
	// Now is when it ended.
	Now time.Time
}

const (
	// lingerShare is the part of a request's fixed latency that may be spent waiting for it to grow. A batch that leaves later
	// by a tenth of the round trip costs its items little; one that leaves half as often costs half as much to send.
	lingerShare = 0.1
	// queueLinger is the longest wait where the next component answers before it has sent anything. There the latency is
	// all ours.
	queueLinger = 5 * time.Millisecond
	// targetStep is the part of the way to a new knee that the target goes at once: one noisy fit moves it little, a
	// lasting change moves it within a few batches.
	targetStep = 0.5
)

// Controller turns observations into decisions.
type Controller struct {
	cfg       Config
	model     model
	limit     limiter
	ceiling   ceiling
	target    float64
	kneeKnown bool
	atOnce    bool
	reason    Reason
	decision  Decision
}

// New returns a controller that starts at cfg.StartItems.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, target: float64(cfg.StartItems), reason: Start, limit: newLimiter(cfg.MaxConcurrency)}
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

// AnswersAtOnce tells that the next component answers before anything is sent. Latencies say nothing then, so batches have
// the start size from now on.
func (c *Controller) AnswersAtOnce() {
	c.atOnce = true
	if c.cfg.Adaptive {
		c.reason = AtOnce
	}
	c.decide()
}

// Observe learns from an attempt.
func (c *Controller) Observe(o Observation) {
	if !c.cfg.Adaptive || c.atOnce || o.Items <= 0 {
		return
	}
	switch o.Outcome {
	case attempt.Accepted:
		c.accepted(o)
	case attempt.TooLarge:
		if c.ceiling.cut(o.Items, tooLargeShrink, o.Now) {
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
	n, seconds := float64(o.Items), o.Latency.Seconds()
	predicted, known := c.model.predict(n)
	c.model.observe(n, seconds, o.InFlight, o.Now)
	reason := c.limit.accepted(o, predicted, known && c.model.trusted())
	if reason == Drained {
		c.model.scale(c.limit.drainedTo)
	}
	if reason != "" {
		c.reason = reason
	}
	c.ceiling.took(o.Items, o.Now)
	if knee, ok := c.model.knee(); ok {
		c.kneeKnown = true
		c.target += targetStep * (knee - c.target)
		if c.reason == Start {
			c.reason = Knee
		}
	}
}

// deadline cuts what was to blame: the size, if a batch of this size takes most of the time even alone, else the number in
// flight.
func (c *Controller) deadline(o Observation) {
	alone, _ := c.model.predict(float64(o.Items))
	if alone > o.Latency.Seconds()/2 || o.InFlight <= 1 {
		if c.ceiling.cut(o.Items, deadlineShrink, o.Now) {
			c.reason = Deadline
		}
		return
	}
	if c.limit.overloaded(o) {
		c.reason = Deadline
	}
}

func (c *Controller) decide() {
	d := Decision{
		Target: c.cfg.StartItems, Ceiling: c.cfg.MaxItems, Linger: c.cfg.Timeout,
		Limit: c.cfg.MaxConcurrency, Cap: c.cfg.MaxConcurrency, Most: c.cfg.MaxConcurrency, Reason: c.reason,
	}
	switch {
	case !c.cfg.Adaptive:
	case c.atOnce:
		d.Linger = min(d.Linger, queueLinger)
	default:
		d.Ceiling = c.ceiling.within(c.cfg.MaxItems)
		c.target = max(c.target, float64(c.cfg.MinItems))
		if d.Ceiling > 0 {
			c.target = min(c.target, float64(d.Ceiling))
		}
		d.Target = max(1, int(c.target))
		d.Full = d.Ceiling
		if c.kneeKnown {
			d.Full = d.Target
		}
		d.Linger = min(d.Linger, time.Duration(lingerShare*c.model.fixed()*float64(time.Second)))
		d.Limit, d.Cap = c.limit.value(), c.limit.capValue()
	}
	c.decision = d
}
