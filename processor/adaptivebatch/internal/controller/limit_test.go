package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// full lets the controller see accepted requests of 100 items that were among as many as are allowed, one every interval. It
// returns the time of the last.
func full(c *Controller, n int, latency, interval time.Duration, at time.Time) time.Time {
	for range n {
		at = at.Add(interval)
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: latency, Outcome: attempt.Accepted},
			InFlight: c.Decision().Limit, Now: at,
		})
	}
	return at
}

func overload(c *Controller, inFlight int, at time.Time) {
	c.Observe(Observation{
		Attempt:  attempt.Attempt{Items: 1, Latency: time.Second, Outcome: attempt.Overloaded},
		InFlight: inFlight, Now: at,
	})
}

func TestOverloadCutsTheConcurrencyOncePerRoundTrip(t *testing.T) {
	c := New(adaptive())
	for range 10 {
		overload(c, 40, epoch)
	}
	assert.Equal(t, 28, c.Decision().Cap)
	assert.Equal(t, Overload, c.Decision().Reason)
	overload(c, 28, epoch.Add(time.Second))
	assert.Equal(t, 19, c.Decision().Cap)
	for i := range 20 {
		overload(c, c.Decision().Cap, epoch.Add(time.Duration(i+2)*time.Second))
	}
	assert.Equal(t, 1, c.Decision().Cap, "one always remains, to find out")
	assert.Equal(t, 1, c.Decision().Limit)
}

func TestWaitingForASlotOpensSlots(t *testing.T) {
	c := New(adaptive())
	at := epoch
	for range 5000 {
		c.Waited(time.Second)
		at = full(c, 1, time.Second, time.Millisecond, at)
		if c.Decision().Limit == 64 {
			break
		}
	}
	assert.Equal(t, 64, c.Decision().Limit, "up to max_concurrency")
}

func TestNobodyWaitingOpensNoSlots(t *testing.T) {
	c := New(adaptive())
	at := epoch
	for range 100 {
		c.Waited(0)
		at = full(c, 1, time.Second, time.Millisecond, at)
	}
	assert.InDelta(t, startLimit, c.limit.limit, 0)
	assert.LessOrEqual(t, c.Decision().Limit, startLimit)
}

// queued is a controller that knows a backend of 10 ms that works on five requests, and has then seen requests among 20 take four
// times as long.
func queued() (*Controller, time.Time) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(100)...)
	at := epoch.Add(time.Hour)
	for i := range 2 * roundSize {
		at = at.Add(2 * time.Millisecond)
		c.Observe(Observation{
			Attempt: attempt.Attempt{
				Items: 100, Latency: min(40, 10+2*time.Duration(i)) * time.Millisecond, Outcome: attempt.Accepted,
			},
			InFlight: 20, Now: at,
		})
	}
	return c, at
}

func TestQueueingInTheBackendClosesSlots(t *testing.T) {
	c, _ := queued()
	assert.Equal(t, Inflation, c.Decision().Reason)
	assert.InDelta(t, 6, c.Decision().Cap, 1, "what the backend works on, by Little's law, and a little more")
	assert.LessOrEqual(t, c.Decision().Limit, c.Decision().Cap)
}

func TestClosedSlotsAreTriedAgainAfterAWhile(t *testing.T) {
	c, at := queued()
	before := c.Decision().Cap
	at = full(c, roundSize, 10*time.Millisecond, time.Millisecond, at)
	assert.LessOrEqual(t, c.Decision().Cap, before, "not at once")
	for range 100 {
		at = full(c, roundSize, 10*time.Millisecond, 10*time.Millisecond, at)
	}
	assert.Greater(t, c.Decision().Cap, before)
}

func TestSlowAnswersToLoneRequestsCloseNoSlots(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(100)...)
	for i := range 100 {
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: 40 * time.Millisecond, Outcome: attempt.Accepted},
			InFlight: 1, Now: epoch.Add(time.Hour + time.Duration(i)*time.Second),
		})
	}
	assert.Equal(t, startCap, c.Decision().Cap, "a request that was alone did not queue")
}

func TestTheTimeBetweenBurstsIsNotTakenForSlowness(t *testing.T) {
	c, at := queued()
	before := c.Decision().Cap
	for i := range 20 * roundSize {
		at = at.Add(2 * time.Millisecond)
		if i%roundSize == roundSize/2 {
			at = at.Add(time.Minute) // in the middle of a round nothing arrives for a while
		}
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: 40 * time.Millisecond, Outcome: attempt.Accepted},
			InFlight: 20, Now: at,
		})
	}
	assert.GreaterOrEqual(t, c.Decision().Cap, before/2, "five requests are worked on at once whenever there are any")
}

func TestAFewSlowRequestsCloseNoSlots(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(100)...)
	at := epoch.Add(time.Hour)
	for i := range 10 * roundSize {
		at = at.Add(time.Millisecond)
		latency := 10 * time.Millisecond
		if i%8 == 0 {
			latency = 300 * time.Millisecond // the machine was busy
		}
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: latency, Outcome: attempt.Accepted},
			InFlight: 20, Now: at,
		})
		assert.NotEqual(t, Inflation, c.Decision().Reason)
	}
}

func TestSlotsAreOpenedQuicklyUntilRequestsQueue(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(100)...)
	at := epoch.Add(time.Hour)
	for range 2 * roundSize {
		at = at.Add(time.Millisecond)
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: 10 * time.Millisecond, Outcome: attempt.Accepted},
			InFlight: c.Decision().Cap, Now: at,
		})
	}
	assert.Equal(t, 64, c.Decision().Cap, "all of max_concurrency")
}

// among lets the controller see requests of 10 ms among as many as are allowed, one every interval of the cap.
func among(c *Controller, n int, at time.Time, interval func(cap int) time.Duration) time.Time {
	for range n {
		inFlight := c.Decision().Cap
		at = at.Add(interval(inFlight))
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: 10 * time.Millisecond, Outcome: attempt.Accepted},
			InFlight: inFlight, Now: at,
		})
	}
	return at
}

func TestATrialThatSucceedsGoesOn(t *testing.T) {
	c, at := queued()
	before := c.Decision().Cap
	began := at.Add(maxHold)
	ended := among(c, 20*roundSize, began, func(cap int) time.Duration { return 10 * time.Millisecond / time.Duration(cap) })
	assert.Greater(t, c.Decision().Cap, 4*before, "in %s: the backend works on more than before", ended.Sub(began))
}

func TestATrialAfterWhichNoMoreIsSentIsTakenBack(t *testing.T) {
	c, at := queued()
	before := c.Decision().Cap
	at = at.Add(maxHold)
	for range 100 { // a busy machine: more at once are only more at once
		at = among(c, 1, at, func(int) time.Duration { return time.Millisecond })
		assert.LessOrEqual(t, c.Decision().Cap, before+2)
	}
	among(c, 20*roundSize, at, func(int) time.Duration { return time.Millisecond })
	assert.LessOrEqual(t, c.Decision().Cap, before+2)
}

func TestABurstIsNotHeldUpByADrain(t *testing.T) {
	c := New(adaptive())
	at := epoch
	for range 10 {
		at = full(c, 2*roundSize, 10*time.Millisecond, time.Millisecond, at.Add(time.Minute))
		assert.False(t, c.limit.draining)
	}
}

func TestDrainTellsQueueingFromWork(t *testing.T) {
	for _, c := range []struct {
		why string
		// queues: twice the requests take twice as long.
		queues bool
	}{{"a backend that queues", true}, {"a backend that works on all", false}} {
		control := New(adaptive())
		at, drained, drains := epoch, false, 0
		for range 5000 {
			d := control.Decision()
			latency := 10 * time.Millisecond
			if c.queues {
				latency = time.Duration(d.Limit) * 5 * time.Millisecond
			}
			if control.limit.draining {
				drains++
				assert.LessOrEqual(t, d.Limit, startLimit/2, c.why)
			}
			at = full(control, 1, latency, time.Millisecond, at)
			drained = drained || control.Decision().Reason == Drained
		}
		assert.Positive(t, drains, c.why)
		assert.Equal(t, c.queues, drained, c.why)
	}
}

func TestDeadlinesBlameTheNumberInFlightWhereTheSizeIsInnocent(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(100)...)
	c.Observe(Observation{
		Attempt:  attempt.Attempt{Items: 100, Latency: 200 * time.Millisecond, Outcome: attempt.DeadlineExceeded},
		InFlight: 40, Now: epoch.Add(time.Hour),
	})
	assert.Equal(t, 28, c.Decision().Cap)
	assert.Equal(t, 2000, c.Decision().Ceiling)
	assert.Equal(t, Deadline, c.Decision().Reason)
}
