package simulate

import (
	"math"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// batch is an export in flight.
type batch struct {
	parts []part
	items int
	began time.Duration
	among int // in flight when it was sent, itself included
	// sizes are the requests still to be sent; more than one after a batch was too large.
	sizes   []int
	retries int
	waits   bool // for its retry
}

func (s *simulation) export(b *batch) {
	b.sizes = append(b.sizes, b.items)
	s.try(b)
}

// try sends the batch's next request.
func (s *simulation) try(b *batch) {
	r := &request{batch: b, items: b.sizes[len(b.sizes)-1], began: s.now}
	if s.server.backend.AtOnce {
		s.events.push(event{at: s.now + atOnce, kind: answered, request: r})
		return
	}
	if outcome, took := s.server.refuses(s.now, r.items); outcome != attempt.Accepted {
		s.observe(b, r.items, took, outcome)
		if outcome == attempt.TooLarge {
			s.halve(b, took)
			return
		}
		s.events.push(event{at: s.now + took + s.backOff(b), kind: retry, batch: b})
		return
	}
	if d := s.server.backend.Deadline; d > 0 {
		s.events.push(event{at: s.now + d, kind: deadline, request: r})
	}
	if s.server.busy < s.server.backend.Servers {
		s.serve(r)
	} else {
		s.server.queue.push(r)
	}
}

// halve replaces a request that was too large: by its halves by callers, which is near enough by items.
func (s *simulation) halve(b *batch, took time.Duration) {
	n := b.sizes[len(b.sizes)-1]
	b.sizes = append(b.sizes[:len(b.sizes)-1], n-n/2, n/2)
	s.events.push(event{at: s.now + took, kind: retry, batch: b})
}

func (s *simulation) backOff(b *batch) time.Duration {
	d := time.Duration(float64(firstRetry) * math.Pow(retryFactor, float64(b.retries)))
	b.retries++
	return time.Duration(float64(min(d, lastRetry)) * (0.5 + s.server.rng.Float64()))
}

// again sends after a refusal, unless nobody waits for the batch any more.
func (s *simulation) again(b *batch) {
	for _, p := range b.parts {
		if s.now-p.call.arrived <= maxWait {
			s.try(b)
			return
		}
	}
	s.pipeline.finished(b, false)
}

func (s *simulation) serve(r *request) {
	s.server.busy++
	s.events.push(event{at: s.now + s.server.takes(r.items), kind: answered, request: r})
}

func (s *simulation) answered(r *request) {
	if s.server.backend.AtOnce {
		s.pipeline.quickAnswer(r)
		s.succeeded(r)
		return
	}
	s.server.busy--
	for s.server.queue.len() > 0 && s.server.busy < s.server.backend.Servers {
		if next := s.server.queue.pop(); !next.expired {
			s.serve(next)
		}
	}
	if r.expired {
		return // the backend worked for nobody
	}
	r.expired = true // its deadline means nothing any more
	s.observe(r.batch, r.items, s.now-r.began, attempt.Accepted)
	s.succeeded(r)
}

func (s *simulation) succeeded(r *request) {
	b := r.batch
	b.sizes = b.sizes[:len(b.sizes)-1]
	b.retries = 0
	if len(b.sizes) > 0 {
		s.try(b)
		return
	}
	s.pipeline.finished(b, true)
}

func (s *simulation) deadline(r *request) {
	if r.expired {
		return
	}
	r.expired = true
	s.observe(r.batch, r.items, s.now-r.began, attempt.DeadlineExceeded)
	s.events.push(event{at: s.now + s.backOff(r.batch), kind: retry, batch: r.batch})
}

func (s *simulation) observe(b *batch, items int, took time.Duration, outcome attempt.Outcome) {
	p := &s.pipeline
	p.retrying(b, outcome == attempt.Unavailable || outcome == attempt.DeadlineExceeded)
	p.control.Observe(controller.Observation{
		Attempt:  attempt.Attempt{Items: items, Bytes: items * itemBytes, Latency: took, Outcome: outcome},
		InFlight: max(1, p.inFlight.Exports-p.inFlight.Retrying), Among: b.among, Now: clock(s.now),
	})
	p.dispatchDue()
}

// quickAnswers is the processor's own bound.
const quickAnswers = 32

func (p *pipeline) quickAnswer(r *request) {
	if p.quick++; p.quick == quickAnswers {
		p.control.AnswersAtOnce()
	}
	p.sim.observe(r.batch, r.items, atOnce, attempt.Accepted)
}
