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
	// Ceiling is the number of items above which no batch is built; 0 means no ceiling.
	Ceiling int
	// Linger is the longest that waiting for more items is worth while an export slot is free. With Adaptive it is bounded
	// by the request's own latency, see Arrivals.
	Linger time.Duration
	// Limit is the number of exports that may be in flight.
	Limit int
	// Reason says what changed the decision last, as an attribute value.
	Reason Reason
}

// Reason names what moved a decision.
type Reason string

// The reasons.
const (
	Start       Reason = "start"
	Fixed       Reason = "fixed"
	Knee        Reason = "knee"
	TooLarge    Reason = "too_large"
	Deadline    Reason = "deadline"
	Overload    Reason = "overload"
	Inflation   Reason = "inflation"
	SlotWait    Reason = "slot_wait"
	Unavailable Reason = "unavailable"
)

// Observation is one attempt to send a batch that has ended.
type Observation struct {
	attempt.Attempt
	// InFlight is the number of exports in flight when it ended, itself included.
	InFlight int
	// Now is when it ended.
	Now time.Time
}

// lingerShare is the part of a request's own latency that may be spent waiting for it to grow. A batch that leaves later by
// a seventh of the round trip costs its items little; one that leaves half as often costs half as much to send.
const lingerShare = 0.15

// deadlineShrink and tooLargeShrink cut the ceiling where the backend shows that a batch was too large for it.
const (
	deadlineShrink = 0.7
	tooLargeShrink = 0.5
	// ceilingGrowth raises a cut ceiling again, by this part of a batch that was accepted at the ceiling.
	ceilingGrowth = 0.02
)

// Controller turns observations into decisions.
type Controller struct {
	cfg      Config
	model    model
	limit    limiter
	target   float64
	ceiling  float64 // 0: none learnt
	cutAt    time.Time
	reason   Reason
	decision Decision
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
func (c *Controller) Waited(d time.Duration) {
	if c.cfg.Adaptive {
		c.limit.waited(d)
	}
}

// Returned tells how long an export took as a whole, its retries included.
func (c *Controller) Returned(d time.Duration) {}

// AnswersAtOnce tells that the next component answers before anything is sent.
func (c *Controller) AnswersAtOnce() {
	c.cfg.Adaptive = false
	c.reason = Fixed
	c.decide()
}

// Observe learns from an attempt.
func (c *Controller) Observe(o Observation) {
	if !c.cfg.Adaptive || o.Items <= 0 {
		return
	}
	switch o.Outcome {
	case attempt.Accepted:
		c.accepted(o)
	case attempt.TooLarge:
		c.cut(o, tooLargeShrink, TooLarge)
	case attempt.DeadlineExceeded:
		c.cut(o, deadlineShrink, Deadline)
		c.limit.overloaded(o.Now, o.Latency)
	case attempt.Overloaded:
		if c.limit.overloaded(o.Now, o.Latency) {
			c.reason = Overload
		}
	case attempt.Unavailable:
		// Nobody answered: this says nothing about sizes, but sending at full width into an outage helps nobody.
		if c.limit.overloaded(o.Now, o.Latency) {
			c.reason = Unavailable
		}
	case attempt.Rejected, attempt.Failed, attempt.Canceled:
		return // about the content or about us, not about how much the backend carries
	}
	c.decide()
}

func (c *Controller) accepted(o Observation) {
	c.model.observe(float64(o.Items), o.Latency.Seconds())
	if reason := c.limit.accepted(o, c.model.predict(float64(o.Items)), c.atMaximum(o.Items)); reason != "" {
		c.reason = reason
	}
	if c.ceiling > 0 && float64(o.Items) >= 0.9*c.ceiling {
		c.ceiling += ceilingGrowth * float64(o.Items)
	}
	if knee, ok := c.model.knee(); ok {
		// Half of the way at once: one noisy fit moves the target little, a lasting change moves it within a few batches.
		c.target += 0.5 * (knee - c.target)
		if c.reason == Start {
			c.reason = Knee
		}
	}
}

// atMaximum reports whether a batch was as large as one may become, so that only more of them at once carry more.
func (c *Controller) atMaximum(items int) bool {
	most := c.decision.Ceiling
	return most > 0 && float64(items) >= 0.9*float64(most)
}

// cut lowers the ceiling below a batch that was too large, once for all batches that were in flight together.
func (c *Controller) cut(o Observation, factor float64, reason Reason) {
	limit := max(1, factor*float64(o.Items))
	if c.ceiling > 0 && limit >= c.ceiling {
		return
	}
	c.ceiling = limit
	c.cutAt = o.Now
	c.reason = reason
}

func (c *Controller) decide() {
	if !c.cfg.Adaptive {
		c.decision = Decision{
			Target: c.cfg.StartItems, Ceiling: c.cfg.MaxItems, Linger: c.cfg.Timeout, Limit: c.cfg.MaxConcurrency, Reason: c.reason,
		}
		return
	}
	ceiling := c.cfg.MaxItems
	if c.ceiling > 0 && (ceiling == 0 || int(c.ceiling) < ceiling) {
		ceiling = int(c.ceiling)
	}
	if c.ceiling > 0 && c.cfg.MaxItems > 0 && int(c.ceiling) >= c.cfg.MaxItems {
		c.ceiling = 0 // grown back
	}
	c.target = max(c.target, float64(c.cfg.MinItems))
	if ceiling > 0 {
		c.target = min(c.target, float64(ceiling))
	}
	linger := time.Duration(lingerShare * c.model.predict(c.target) * float64(time.Second))
	c.decision = Decision{
		Target: max(1, int(c.target)), Ceiling: ceiling, Linger: min(linger, c.cfg.Timeout), Limit: c.limit.value(), Reason: c.reason,
	}
}
