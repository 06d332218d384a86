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
// Many guilty parts take many requests, one after the other. So a part has its result as soon as it is known, and what nobody waits for
// any more is not sent again.
//
// What a fan-out's other branches took the first time, they get again.
type isolation struct {
	content content
	ctx     context.Context
	// items returns the number of items of a part, and sent is told how each request went.
	items func(part int) int
	sent  func(items int, took time.Duration, err error)
	// wanted reports whether anybody waits for one of the parts [from, to), and settled is told of results while others are not known.
	wanted  func(from, to int) bool
	settled func(result)
	// left counts the parts without a result, at first all; last is the result after which there are none.
	left int
	last result
	// repeats counts the requests sent again.
	repeats int
	// works says that the backend has taken a part: what it fails at from then on is taken for its content.
	works bool
}

// result is what the callers of the parts [from, to) of a batch are told.
type result struct {
	from, to int
	err      error
}

// all sends every part, and returns the last result. settled has been told of any others.
func (s *isolation) all() result {
	s.settle(0, s.left, s.send(0, s.left))
	return s.last
}

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
	switch {
	case s.isResult(from, to, err):
	case to-from > 1:
		s.settleHalves(from, to, err)
		return
	case s.wanted(from, to):
		err = s.sendDivided(from, s.items(from), err, func(maxItems int) ([]payload, error) { return s.content.divide(from, maxItems) })
	}
	s.give(from, to, err)
}

// isResult reports whether parts that were sent together are not to be sent again after err.
func (s *isolation) isResult(from, to int, err error) bool {
	alone := to-from == 1
	outcome := outcomeOf(err)
	switch {
	case s.ctx.Err() != nil:
		return true
	case outcome == attempt.TooLarge:
		return alone && s.items(from) == 1
	default:
		return alone || outcome != attempt.Rejected && !isUnclear(err)
	}
}

// isUnclear reports whether either the content or the backend may be to blame for an error.
func isUnclear(err error) bool { return outcomeOf(err) == attempt.Failed && mayBeContent(err) }

// give gives parts their result.
func (s *isolation) give(from, to int, err error) {
	r := result{from: from, to: to, err: forCaller(err)}
	if s.left -= to - from; s.left == 0 {
		s.last = r
		return
	}
	s.settled(r)
}

// settleHalves sends parts again in halves. Where it is unclear whether the content is to blame, two halves that fail alike say that it is the
// backend.
func (s *isolation) settleHalves(from, to int, err error) {
	mayBeBackend := isUnclear(err) && !s.works
	middle := from + (to-from)/2
	firstDone, first := s.resend(from, middle, err)
	secondDone, second := s.resend(middle, to, err)
	settle := s.settle
	if mayBeBackend && mayBeContent(first) && mayBeContent(second) {
		settle = s.give
	}
	if !firstDone {
		settle(from, middle, first)
	}
	if !secondDone {
		settle(middle, to, second)
	}
}

// resend sends parts again, if anybody waits for them, and reports whether they have their result with that, and what they failed with this time.
func (s *isolation) resend(from, to int, err error) (bool, error) {
	if !s.wanted(from, to) {
		s.give(from, to, err)
		return true, nil
	}
	s.repeats++
	err = s.send(from, to)
	s.works = s.works || err == nil
	if !s.isResult(from, to, err) {
		return false, err
	}
	s.give(from, to, err)
	return true, err
}

// sendDivided sends in halves what the backend finds too large of a part, with the error tooLarge, down to single items, or to what is not divided
// because halves would hardly be smaller. What is refused for ever keeps no other half from being sent:
// the caller will not send it again. Any other error ends it, and is the result: the caller sends all of it again.
func (s *isolation) sendDivided(part, items int, tooLarge error, divide func(maxItems int) ([]payload, error)) error {
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
		if failed != nil && !consumererror.IsPermanent(failed) || !s.wanted(part, part+1) {
			half.free()
			continue
		}
		n := half.items()
		c := half.join(halves[i : i+1])
		s.repeats++
		err := s.try(n, func() error { return c.send(s.ctx, 0, 1) })
		if outcomeOf(err) == attempt.TooLarge && n > 1 && s.ctx.Err() == nil {
			err = s.sendDivided(part, n, err, func(maxItems int) ([]payload, error) { return c.divide(0, maxItems) })
		}
		if err != nil {
			failed = forCaller(err)
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
