package adaptivebatch

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// isolation sends a content so that one caller's telemetry never costs another its own: what is refused for its content is
// sent again in halves, down to single callers. One guilty part among n is found in about 2 log2(n) requests more.
// What fails in a way that may come of the content is sent again in halves too, unless both of these fail: then it is the backend.
//
// What a fan-out's other branches took the first time, they get again.
type isolation struct {
	content content
	ctx     context.Context
	// items returns the number of items of a part, and sent is told how each request went.
	items func(part int) int
	sent  func(items int, took time.Duration, err error)
	// errs are the results by part.
	errs []error
	// repeats counts the requests sent again.
	repeats int
	// works says that the backend has taken a part: what it fails at from then on is taken for its content.
	works bool
}

// all sends every part and gives each its result.
func (s *isolation) all() { s.settle(0, len(s.errs), s.send(0, len(s.errs))) }

// send sends some of the parts together.
func (s *isolation) send(from, to int) error {
	items := 0
	for i := from; i < to; i++ {
		items += s.items(i)
	}
	return s.try(items, func() error { return s.content.send(s.ctx, from, to) })
}

// settle gives the parts that were sent together their results.
func (s *isolation) settle(from, to int, err error) {
	outcome := outcomeOf(err)
	unclear := outcome == attempt.Failed && mayBeContent(err)
	again := outcome == attempt.Rejected || outcome == attempt.TooLarge || unclear
	switch {
	case s.ctx.Err() != nil || !again:
	case to-from > 1:
		s.settleHalves(from, to, unclear && !s.works)
		return
	case outcome == attempt.TooLarge && s.items(from) > 1:
		err = s.sendDivided(func(maxItems int) ([]payload, error) { return s.content.divide(from, maxItems) }, s.items(from), err)
	}
	for i := from; i < to; i++ {
		s.errs[i] = err
	}
}

// settleHalves sends parts again in halves. Where it is unclear whether the content is to blame, two halves that fail alike say that it is the
// backend.
func (s *isolation) settleHalves(from, to int, unclear bool) {
	s.repeats += 2
	middle := from + (to-from)/2
	first, second := s.send(from, middle), s.send(middle, to)
	s.works = s.works || first == nil || second == nil
	if unclear && mayBeContent(first) && mayBeContent(second) {
		for i := from; i < to; i++ {
			if s.errs[i] = first; i >= middle {
				s.errs[i] = second
			}
		}
		return
	}
	s.settle(from, middle, first)
	s.settle(middle, to, second)
}

// sendDivided sends in halves what the backend finds too large, with the error tooLarge, down to single items, or to what is not divided
// because halves would hardly be smaller. What is refused for ever keeps no other half from being sent:
// the caller will not send it again. Any other error ends it, and is the result: the caller sends all of it again.
func (s *isolation) sendDivided(divide func(maxItems int) ([]payload, error), items int, tooLarge error) error {
	halves, err := divide((items + 1) / 2)
	if err != nil {
		return err
	}
	if len(halves) == 1 {
		halves[0].free()
		return tooLarge
	}
	var failed error
	for i, half := range halves {
		if failed != nil && !consumererror.IsPermanent(failed) {
			half.free()
			continue
		}
		n := half.items()
		c := half.join(halves[i : i+1])
		s.repeats++
		err := s.try(n, func() error { return c.send(s.ctx, 0, 1) })
		if outcomeOf(err) == attempt.TooLarge && n > 1 && s.ctx.Err() == nil {
			err = s.sendDivided(func(maxItems int) ([]payload, error) { return c.divide(0, maxItems) }, n, err)
		}
		if err != nil {
			failed = err
		}
		c.free()
	}
	return failed
}

func (s *isolation) try(items int, send func() error) error {
	began := time.Now()
	err := send()
	s.sent(items, time.Since(began), err)
	return err
}
