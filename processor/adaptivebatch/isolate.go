package adaptivebatch

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// isolation sends a content so that one caller's telemetry never costs another its own: what is refused for its content is
// sent again in halves, down to single callers. One guilty part among n is found in about 2 log2(n) requests more.
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
}

func (s *isolation) send(from, to int) {
	items := 0
	for i := from; i < to; i++ {
		items += s.items(i)
	}
	err := s.try(items, func() error { return s.content.send(s.ctx, from, to) })
	outcome := outcomeOf(err)
	if s.ctx.Err() == nil && (outcome == attempt.Rejected || outcome == attempt.TooLarge) {
		if to-from > 1 {
			s.repeats += 2
			middle := from + (to-from)/2
			s.send(from, middle)
			s.send(middle, to)
			return
		}
		if outcome == attempt.TooLarge && items > 1 {
			s.errs[from] = s.sendDivided(func(maxItems int) ([]payload, error) { return s.content.divide(from, maxItems) }, items)
			return
		}
	}
	for i := from; i < to; i++ {
		s.errs[i] = err
	}
}

// sendDivided sends what is too large in halves, down to single items. What is refused for ever keeps no other half from being sent:
// the caller will not send it again. Any other error ends it, and is the result: the caller sends all of it again.
func (s *isolation) sendDivided(divide func(maxItems int) ([]payload, error), items int) error {
	halves, err := divide((items + 1) / 2)
	if err != nil {
		return err
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
			err = s.sendDivided(func(maxItems int) ([]payload, error) { return c.divide(0, maxItems) }, n)
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
