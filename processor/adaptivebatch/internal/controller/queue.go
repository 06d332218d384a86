package controller

import (
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// queue is what is known of an asynchronous queue behind. Its answers say nothing of what sending costs, so waiting buys
// nothing that could be seen. Where callers wait for the answer, batches leave at once, as many calls together as arrive while a few
// batches are handed over. Only when the queue is full it says so, by refusing: whatever empties it cannot keep up with so many requests. Then
// batches are made larger, a step for each refusal, and again a step smaller when it has refused none for a while that doubles each
// time that this turns out to be in vain. Where callers do not wait, waiting costs nobody anything, and the first step is the least.
type queue struct {
	// step 0 is at once, the first has the start size; each further one doubles the target and the wait. least is the lowest.
	step, least int
	at          time.Time
	hold        time.Duration
	// eased says that the step was lowered since it was last raised.
	eased bool
}

const (
	// queueLinger is the longest wait of the first step.
	queueLinger = 5 * time.Millisecond
	// queueLimit is the number of batches handed over at once.
	queueLimit = 32
	// maxQueueStep makes every default bound be reached.
	maxQueueStep = 8
	// queueRefusals that come within this time tell the same thing once.
	queueRefusals = time.Second
	// queueHold is how long at first, and maxQueueHold at last, a step stays without a refusal: for some client each trial ends with one.
	queueHold    = 10 * time.Minute
	maxQueueHold = 24 * time.Hour
)

// observe learns from an answer of the queue. It reports whether that changed anything.
func (q *queue) observe(o Observation) bool {
	switch o.Outcome {
	case attempt.Accepted:
		if q.step <= q.least || o.Now.Sub(q.at) < q.hold {
			return false
		}
		q.step, q.at, q.eased = q.step-1, o.Now, true
		return true
	case attempt.Failed, attempt.Unavailable, attempt.Overloaded, attempt.DeadlineExceeded:
		if q.step == maxQueueStep || q.step > 0 && o.Now.Sub(q.at) < queueRefusals {
			return false
		}
		if q.eased {
			q.hold = min(maxQueueHold, 2*q.hold)
		}
		q.hold = max(q.hold, queueHold)
		q.step, q.at, q.eased = q.step+1, o.Now, false
		return true
	default: // about the content, or because nobody waited
		return false
	}
}

// decide completes a decision that has the start values.
func (q *queue) decide(d *Decision) {
	if q.step == 0 {
		d.Linger, d.Limit = 0, min(d.Limit, queueLimit)
		return
	}
	d.Linger = min(d.Linger, queueLinger<<(q.step-1))
	d.Target <<= q.step - 1
	if d.Ceiling > 0 {
		d.Target = min(d.Target, d.Ceiling)
	}
}
