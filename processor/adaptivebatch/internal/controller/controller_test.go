package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func adaptive() Config {
	return Config{Adaptive: true, StartItems: 100, MinItems: 10, MaxItems: 2000, Timeout: 200 * time.Millisecond, MaxConcurrency: 64}
}

// feed lets the controller see accepted requests of the given sizes at a backend with a fixed and a per-item cost.
func feed(c *Controller, fixed, perItem time.Duration, sizes ...int) {
	for i, n := range sizes {
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: n, Latency: fixed + time.Duration(n)*perItem, Outcome: attempt.Accepted},
			InFlight: 1, Now: epoch.Add(time.Duration(i) * time.Second),
		})
	}
}

// sizes returns n sizes that go round from 50 to 150.
func sizes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 50 + i%3*50
	}
	return out
}

func TestFixedControllerNeverMoves(t *testing.T) {
	c := New(Config{StartItems: 100, MaxItems: 200, Timeout: time.Second, MaxConcurrency: 7})
	want := Decision{Target: 100, Ceiling: 200, Linger: time.Second, Limit: 7, Reason: Fixed}
	assert.Equal(t, want, c.Decision())
	feed(c, time.Millisecond, 0, sizes(100)...)
	c.Waited(time.Second)
	c.Observe(Observation{Attempt: attempt.Attempt{Items: 100, Outcome: attempt.TooLarge}})
	assert.Equal(t, want, c.Decision())
}

func TestTargetGoesToTheKnee(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 50*time.Microsecond, sizes(50)...)
	assert.InDelta(t, kneeFactor*10_000/50, c.Decision().Target, 5)
	assert.Equal(t, Knee, c.Decision().Reason)

	feed(c, 10*time.Millisecond, time.Millisecond, sizes(500)...)
	assert.InDelta(t, kneeFactor*10, c.Decision().Target, 2, "it follows when items become dear")
}

func TestTargetStaysWithinItsBounds(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(50)...)
	assert.Equal(t, 2000, c.Decision().Target, "items that cost nothing")
	feed(c, 0, time.Millisecond, sizes(1000)...)
	assert.Equal(t, 10, c.Decision().Target, "requests that cost nothing")
}

func TestRequestsOfOneSizeSayNothingAboutTheKnee(t *testing.T) {
	c := New(adaptive())
	for range 100 {
		feed(c, 10*time.Millisecond, time.Microsecond, 100)
	}
	assert.Equal(t, 100, c.Decision().Target)
}

func TestLingerIsAShareOfTheLatency(t *testing.T) {
	c := New(adaptive())
	assert.Zero(t, c.Decision().Linger, "nothing is known yet")
	feed(c, 100*time.Millisecond, 0, 100)
	assert.Equal(t, 15*time.Millisecond, c.Decision().Linger)
	feed(c, 100*time.Second, 0, 100)
	assert.Equal(t, 200*time.Millisecond, c.Decision().Linger, "never longer than the time-out")
}

func TestTooLargeCutsTheCeilingAtOnceAndItGrowsBack(t *testing.T) {
	c := New(adaptive())
	c.Observe(Observation{Attempt: attempt.Attempt{Items: 1000, Outcome: attempt.TooLarge}, Now: epoch})
	assert.Equal(t, 500, c.Decision().Ceiling)
	assert.Equal(t, TooLarge, c.Decision().Reason)
	c.Observe(Observation{Attempt: attempt.Attempt{Items: 1000, Outcome: attempt.TooLarge}, Now: epoch})
	assert.Equal(t, 500, c.Decision().Ceiling, "another batch of that size says nothing new")
	c.Observe(Observation{Attempt: attempt.Attempt{Items: 500, Outcome: attempt.DeadlineExceeded}, Now: epoch})
	assert.Equal(t, 350, c.Decision().Ceiling)
	assert.Equal(t, Deadline, c.Decision().Reason)
	assert.LessOrEqual(t, c.Decision().Target, 350)
	for range 200 {
		feed(c, time.Millisecond, 0, c.Decision().Ceiling)
	}
	assert.Equal(t, 2000, c.Decision().Ceiling)
}

func TestOverloadHalvesTheConcurrencyOncePerRoundTrip(t *testing.T) {
	for _, outcome := range []attempt.Outcome{attempt.Overloaded, attempt.Unavailable} {
		c := New(adaptive())
		c.limit.limit = 40
		overloaded := Observation{Attempt: attempt.Attempt{Items: 1, Latency: time.Second, Outcome: outcome}, Now: epoch}
		for range 10 {
			c.Observe(overloaded)
		}
		assert.Equal(t, 20, c.Decision().Limit)
		overloaded.Now = epoch.Add(time.Second)
		c.Observe(overloaded)
		assert.Equal(t, 10, c.Decision().Limit)
		for i := range 10 {
			overloaded.Now = epoch.Add(time.Duration(i+2) * time.Second)
			c.Observe(overloaded)
		}
		assert.Equal(t, 1, c.Decision().Limit, "one always remains, to find out")
	}
}

func TestWaitingForASlotOpensSlots(t *testing.T) {
	c := New(adaptive())
	for range 5000 {
		c.Waited(time.Second)
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: time.Second, Outcome: attempt.Accepted},
			InFlight: c.Decision().Limit, Now: epoch,
		})
	}
	assert.Equal(t, 64, c.Decision().Limit, "up to max_concurrency")
	assert.Equal(t, SlotWait, c.Decision().Reason)
}

func TestNobodyWaitingOpensNoSlots(t *testing.T) {
	c := New(adaptive())
	for range 100 {
		c.Waited(0)
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: 100, Latency: time.Second, Outcome: attempt.Accepted},
			InFlight: c.Decision().Limit, Now: epoch,
		})
	}
	assert.Equal(t, startLimit, c.Decision().Limit)
}

func TestSlowerAnswersCloseSlots(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(100)...)
	c.limit.limit = 20
	slow := attempt.Attempt{Items: 100, Latency: 40 * time.Millisecond, Outcome: attempt.Accepted}
	c.Observe(Observation{Attempt: slow, InFlight: 20, Now: epoch.Add(time.Hour)})
	assert.Equal(t, 18, c.Decision().Limit)
	assert.Equal(t, Inflation, c.Decision().Reason)
	c.Observe(Observation{Attempt: slow, InFlight: 1, Now: epoch.Add(2 * time.Hour)})
	assert.Equal(t, 18, c.Decision().Limit, "a request that was alone did not queue")
}

func TestWhatIsNotAboutTheBackendIsIgnored(t *testing.T) {
	c := New(adaptive())
	before := c.Decision()
	for _, outcome := range []attempt.Outcome{attempt.Rejected, attempt.Failed, attempt.Canceled} {
		c.Observe(Observation{Attempt: attempt.Attempt{Items: 100, Latency: time.Second, Outcome: outcome}, InFlight: 4, Now: epoch})
	}
	c.Observe(Observation{Attempt: attempt.Attempt{Latency: time.Second}})
	assert.Equal(t, before, c.Decision())
}

func TestRateFollowsArrivals(t *testing.T) {
	var a Arrivals
	now := epoch
	for range 1000 {
		now = now.Add(time.Millisecond)
		a.Arrive(now, 5, 0)
	}
	assert.InDelta(t, 5000, a.Rate(now), 100)
	assert.Less(t, a.Rate(now.Add(time.Second)), 1.0)
}

func TestLingerRules(t *testing.T) {
	far := Decision{Target: 1000, Linger: 15 * time.Millisecond}
	at := func(itemsPerSecond float64) Arrivals {
		return Arrivals{decayed: itemsPerSecond * rateWindow.Seconds(), at: epoch, peak: 10, windowEnd: epoch.Add(peakWindow)}
	}
	for _, c := range []struct {
		why         string
		arrivals    Arrivals
		items, held int
		decision    Decision
		want        time.Duration
	}{
		{"it pays", at(10_000), 10, 5, far, 15 * time.Millisecond},
		{"the target is reached before", at(200_000), 10, 5, far, 4950 * time.Microsecond},
		{"too slow to double", at(500), 10, 5, far, 0},
		{"every producer waits already", at(10_000), 10, 10, far, 0},
		{"nobody waits for answers", at(10_000), 10, -1, far, 15 * time.Millisecond},
		{"large enough", at(10_000), 1000, 5, far, 0},
		{"shorter than a timer", at(1e9), 10, 5, Decision{Target: 1000, Linger: 999 * time.Microsecond}, 0},
	} {
		assert.Equal(t, c.want, c.arrivals.Linger(epoch, c.items, c.held, c.decision), c.why)
	}
}

func TestProducersThatHaveGoneAreForgotten(t *testing.T) {
	far := Decision{Target: 1000, Linger: 15 * time.Millisecond}
	var a Arrivals
	a.Arrive(epoch, 100, 50)
	a.Arrive(epoch.Add(peakWindow+1), 1000, 2)
	assert.NotZero(t, a.Linger(epoch.Add(peakWindow+1), 1, 2, far), "48 may come back")
	a.Arrive(epoch.Add(4*peakWindow), 1000, 2)
	assert.Zero(t, a.Linger(epoch.Add(4*peakWindow), 1, 2, far), "they have not, and both that are left wait")
}
