package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// answer lets the controller see one answer to a lone request.
func answer(c *Controller, outcome attempt.Outcome, items int, at time.Duration) {
	c.Observe(Observation{
		Attempt: attempt.Attempt{Items: items, Latency: time.Millisecond, Outcome: outcome}, InFlight: 1, Now: epoch.Add(at),
	})
}

func TestTooLargeCutsTheCeilingAtOnce(t *testing.T) {
	c := New(adaptive())
	answer(c, attempt.TooLarge, 1000, 0)
	assert.Equal(t, 500, c.Decision().Ceiling)
	assert.Equal(t, TooLarge, c.Decision().Reason)
	answer(c, attempt.TooLarge, 1000, 0)
	assert.Equal(t, 500, c.Decision().Ceiling, "another batch of that size says nothing new")
	answer(c, attempt.DeadlineExceeded, 500, 0)
	assert.Equal(t, 350, c.Decision().Ceiling)
	assert.Equal(t, Deadline, c.Decision().Reason)
	assert.LessOrEqual(t, c.Decision().Target, 350)
}

func TestAMissedDeadlineLeavesRoomForChance(t *testing.T) {
	c := New(adaptive())
	feed(c, 5*time.Millisecond, 100*time.Microsecond, around(100, 100, 500, 1000)...)
	last := c.model.at.Sub(epoch)
	c.Observe(Observation{
		Attempt:  attempt.Attempt{Items: 2000, Latency: 199 * time.Millisecond, Outcome: attempt.Accepted}, // by luck
		InFlight: 10, Now: epoch.Add(last),
	})
	c.Observe(Observation{
		Attempt:  attempt.Attempt{Items: 2000, Latency: 200 * time.Millisecond, Outcome: attempt.DeadlineExceeded},
		InFlight: 10, Now: epoch.Add(last),
	})
	assert.InDelta(t, 650, c.Decision().Ceiling, 60, "items may take a third of what the deadline leaves for them")
	assert.LessOrEqual(t, c.Decision().Join, c.Decision().Ceiling)
	assert.Equal(t, startCap, c.Decision().Cap, "the number in flight is innocent")
}

func TestADeadlineThatNoSizeMeetsDoesNotMakeBatchesTiny(t *testing.T) {
	c := New(adaptive())
	feed(c, 190*time.Millisecond, 100*time.Microsecond, around(100, 50, 100, 150)...)
	c.Observe(Observation{
		Attempt:  attempt.Attempt{Items: 150, Latency: 200 * time.Millisecond, Outcome: attempt.DeadlineExceeded},
		InFlight: 1, Now: c.model.at,
	})
	assert.Equal(t, 105, c.Decision().Ceiling)
}

// burst lets the controller see requests of one size, all sent among so many.
func burst(c *Controller, n, items, among int, took time.Duration) {
	for range n {
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: items, Latency: took, Outcome: attempt.Accepted},
			InFlight: 1, Among: among, Now: c.model.at.Add(time.Second),
		})
	}
}

func TestSizesAtWhichAnItemTakesMuchLongerAreAvoided(t *testing.T) {
	c := New(adaptive())
	c.model.at = epoch
	burst(c, classSeen, 100, 8, 2100*time.Microsecond)
	burst(c, classSeen, 400, 8, 2400*time.Microsecond)
	burst(c, classSeen-1, 1600, 8, 60*time.Millisecond)
	assert.Equal(t, exploration*400, c.Decision().Join)
	burst(c, 1, 1600, 8, 60*time.Millisecond)
	assert.Equal(t, 1600, c.Decision().Join, "it may have been chance: nothing larger until it was seen once more")
	assert.Zero(t, c.Decision().Full, "nor many at once")
	burst(c, 1, 1600, 8, 60*time.Millisecond)
	assert.Equal(t, 512, c.Decision().Join, "the largest class in which it does not")
	assert.Equal(t, Dear, c.Decision().Reason)
	assert.Equal(t, 2000, c.Decision().Ceiling, "a call of that size is not split for it")
}

func TestQueueingIsNotTakenForDearItems(t *testing.T) {
	c := New(adaptive())
	c.model.at = epoch
	burst(c, 20, 100, 4, 2100*time.Microsecond)
	burst(c, 20, 200, 40, 50*time.Millisecond)
	assert.NotEqual(t, Dear, c.Decision().Reason, "requests of 100 might have taken as long among 40")
	burst(c, 20, 100, 40, 50*time.Millisecond)
	burst(c, 20, 200, 40, 50*time.Millisecond)
	assert.NotEqual(t, Dear, c.Decision().Reason, "and they do")
}

func TestCeilingStaysNearWhatWasAccepted(t *testing.T) {
	c := New(adaptive())
	answer(c, attempt.Accepted, 400, 0)
	answer(c, attempt.TooLarge, 420, time.Second)
	assert.Equal(t, 360, c.Decision().Ceiling, "0.9 of what was accepted, not half of what was refused")
	answer(c, attempt.TooLarge, 300, time.Second)
	assert.Equal(t, 360, c.Decision().Ceiling, "a batch of 400 was taken lately: it was not for the number of items")
	answer(c, attempt.TooLarge, 300, time.Minute)
	assert.Equal(t, 270, c.Decision().Ceiling, "that was long ago")
}

func TestCeilingGrowsBack(t *testing.T) {
	c := New(adaptive())
	answer(c, attempt.TooLarge, 1000, 0)
	answer(c, attempt.Accepted, 500, ceilingHold-1)
	assert.Equal(t, 500, c.Decision().Ceiling, "for a minute it stays")
	answer(c, attempt.Accepted, 500, ceilingHold)
	assert.Equal(t, 625, c.Decision().Ceiling)
	answer(c, attempt.Accepted, 100, 3*ceilingHold)
	assert.Equal(t, 625, c.Decision().Ceiling, "small batches do not need more")
	for i := range 20 {
		answer(c, attempt.Accepted, c.Decision().Ceiling, time.Duration(i+4)*ceilingHold)
	}
	assert.Equal(t, 2000, c.Decision().Ceiling)
}

func TestACeilingThatProvesRightStaysLonger(t *testing.T) {
	c := New(adaptive())
	at := time.Duration(0)
	answer(c, attempt.TooLarge, 1000, at)
	for hold := ceilingHold; hold < maxCeilingHold; hold *= 2 {
		before := c.Decision().Ceiling
		at += hold - 1
		answer(c, attempt.Accepted, before, at)
		assert.Equal(t, before, c.Decision().Ceiling, "after %s", hold-1)
		at++
		answer(c, attempt.Accepted, before, at)
		assert.Greater(t, c.Decision().Ceiling, before, "after %s it is tried", hold)
		answer(c, attempt.TooLarge, c.Decision().Ceiling, at)
		assert.LessOrEqual(t, c.Decision().Ceiling, before)
	}
}

func TestAFewSlowRequestsDoNotMakeASizeDear(t *testing.T) {
	c := New(adaptive())
	c.model.at = epoch
	burst(c, classSeen, 100, 8, 2*time.Millisecond)
	for range 20 {
		at := c.model.at.Add(time.Second)
		for range 8 { // all that were under way when the machine was busy for a second
			c.Observe(Observation{
				Attempt:  attempt.Attempt{Items: 200, Latency: time.Second, Outcome: attempt.Accepted},
				InFlight: 1, Among: 8, Now: at,
			})
			assert.NotEqual(t, Dear, c.Decision().Reason)
		}
		burst(c, 1, 200, 8, 3*time.Millisecond)
		assert.NotEqual(t, Dear, c.Decision().Reason)
		assert.Zero(t, c.suspect)
	}
}

func TestQueueingDoesNotChangeWhereTheFixedPartIsPaidOff(t *testing.T) {
	c := New(adaptive())
	c.model.at = epoch
	// 2 ms and 5 us an item, on a backend that works on four at once: the more were in flight, the larger they were.
	for among, size := range map[int]int{4: 100, 8: 200, 16: 400, 32: 800} {
		burst(c, classSeen, size, among, time.Duration(among/4)*(2*time.Millisecond+time.Duration(size)*5*time.Microsecond))
		burst(c, classSeen, size/2, among, time.Duration(among/4)*(2*time.Millisecond+time.Duration(size/2)*5*time.Microsecond))
	}
	items, ok := c.model.paidOff()
	assert.True(t, ok)
	assert.InDelta(t, 400, items, 1)
	a, b, ok := c.model.fit()
	assert.True(t, !ok || a/b < 200, "while one line through all of them says something else")

	later := c.model.at.Add(classAge + time.Second)
	_, ok = c.model.classes.paidOff(later)
	assert.False(t, ok, "that was long ago")
}
