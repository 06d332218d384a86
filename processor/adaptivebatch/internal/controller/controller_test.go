package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func adaptive() Config {
	return Config{
		Adaptive: true, StartItems: 100, MinItems: 10, MaxItems: 2000, Timeout: 200 * time.Millisecond, MaxConcurrency: 64,
		CallersWait: true,
	}
}

// feed lets the controller see accepted requests of the given sizes, one a second, at a backend with a fixed and a per-item
// cost.
func feed(c *Controller, fixed, perItem time.Duration, sizes ...int) {
	last := c.model.at
	if last.IsZero() {
		last = epoch
	}
	for i, n := range sizes {
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: n, Latency: fixed + time.Duration(n)*perItem, Outcome: attempt.Accepted},
			InFlight: 1, Now: last.Add(time.Duration(i+1) * time.Second),
		})
	}
}

// sizes returns n sizes that go round from 50 to 150.
func sizes(n int) []int { return around(n, 50, 100, 150) }

// around returns n sizes that go round the given ones.
func around(n int, these ...int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = these[i%len(these)]
	}
	return out
}

func TestFixedControllerNeverMoves(t *testing.T) {
	c := New(Config{StartItems: 100, MaxItems: 200, Timeout: time.Second, MaxConcurrency: 7})
	want := Decision{Target: 100, Ceiling: 200, Join: 200, Linger: time.Second, Limit: 7, Cap: 7, Most: 7, Reason: Fixed}
	assert.Equal(t, want, c.Decision())
	feed(c, time.Millisecond, 0, sizes(100)...)
	c.Waited(time.Second)
	c.Observe(Observation{Attempt: attempt.Attempt{Items: 100, Outcome: attempt.TooLarge}})
	assert.Equal(t, want, c.Decision())
}

func TestTargetGoesToTheKnee(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 50*time.Microsecond, around(50, 50, 400, 800)...)
	assert.InDelta(t, kneeFactor*10_000/50, c.Decision().Target, 5)
	assert.Equal(t, Knee, c.Decision().Reason)

	feed(c, 10*time.Millisecond, time.Millisecond, sizes(700)...)
	assert.InDelta(t, kneeFactor*10, c.Decision().Target, 2, "it follows when items become dear")
}

func TestTargetStaysWithinItsBounds(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, around(50, 50, 1000, 2000)...)
	assert.Equal(t, 2000, c.Decision().Target, "items that cost nothing")
	feed(c, 0, time.Millisecond, sizes(1000)...)
	assert.Equal(t, 10, c.Decision().Target, "requests that cost nothing")
}

func TestLargerBatchesAreExploredInStepsAndFewAtOnce(t *testing.T) {
	c := New(adaptive())
	d := c.Decision()
	assert.Equal(t, exploration*100, d.Join, "nothing is known beyond the start")
	assert.Equal(t, 2000, d.Ceiling, "calls are not split for that")
	assert.False(t, d.Free(InFlight{Exports: d.Limit}, 50_000), "a burst is no reason to fill all slots with what is not known")

	feed(c, 10*time.Millisecond, 0, around(classSeen-1, 200)...)
	assert.Equal(t, exploration*100, c.Decision().Join, "one may have been lucky")
	feed(c, 10*time.Millisecond, 0, 200)
	assert.Equal(t, exploration*200, c.Decision().Join)

	for size := 400; size < 2000; size *= exploration {
		feed(c, 10*time.Millisecond, 0, around(classSeen, size)...)
	}
	d = c.Decision()
	assert.Equal(t, 2000, d.Join)
	assert.True(t, d.Free(InFlight{Exports: d.Limit}, 50_000), "all of it is known")
}

func TestALineThatBeginsFarBelowZeroIsNoModel(t *testing.T) {
	c := New(adaptive())
	for range 20 {
		feed(c, time.Millisecond, 0, 50, 100)
		feed(c, 40*time.Millisecond, 0, 200) // and not 1 ms and a little
	}
	_, _, ok := c.model.fit()
	assert.False(t, ok)
	assert.GreaterOrEqual(t, c.Decision().Target, 50, "it would have been 10: requests that cost nothing")
}

func TestALongQueueIsDividedForTheLeastTime(t *testing.T) {
	d := Decision{Target: 200, Join: 2000, Cap: 20, paidOff: 50}
	assert.Equal(t, 2000, d.Size(undivided*200), "one batch is as good")
	assert.Equal(t, undivided*200, d.Size(10_000))
	n := d.Size(200_000)
	assert.Equal(t, 707, n)
	took := func(n int) float64 { return 200_000.0/float64(n)*(50+float64(n))/20 + 50 + float64(n) } // in times of an item
	for _, other := range []int{n / 2, n - 50, n + 50, 2 * n} {
		assert.Less(t, took(n), took(other), "%d instead of %d", other, n)
	}
	assert.Equal(t, 2000, d.Size(100_000_000), "never above what may be joined")
	d.paidOff = 0
	assert.Equal(t, 2000, d.Size(10_000), "nothing is known")
}

func TestTheTargetIsNeverBelowItsMinimumForWhatIsDear(t *testing.T) {
	cfg := adaptive()
	cfg.StartItems, cfg.MinItems, cfg.MaxItems = 1, 50, 0
	c := New(cfg)
	assert.GreaterOrEqual(t, c.Decision().Join, 50)
	c.model.at = epoch
	burst(c, classSeen, 10, 8, time.Millisecond)
	for range 4 * classSeen {
		burst(c, 1, 60, 8, time.Second)
		assert.GreaterOrEqual(t, c.Decision().Target, 50)
		assert.GreaterOrEqual(t, c.Decision().Join, c.Decision().Target)
	}
	assert.Equal(t, Dear, c.Decision().Reason)
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
	assert.Equal(t, 10*time.Millisecond, c.Decision().Linger)
	c = New(adaptive())
	feed(c, 100*time.Second, 0, 100)
	assert.Equal(t, 200*time.Millisecond, c.Decision().Linger, "never longer than the time-out")
}

func TestWhatIsNotAboutTheBackendIsIgnored(t *testing.T) {
	c := New(adaptive())
	before := c.Decision()
	for _, outcome := range []attempt.Outcome{attempt.Unavailable, attempt.Rejected, attempt.Failed, attempt.Canceled} {
		c.Observe(Observation{Attempt: attempt.Attempt{Items: 100, Latency: time.Second, Outcome: outcome}, InFlight: 4, Now: epoch})
	}
	c.Observe(Observation{Attempt: attempt.Attempt{Latency: time.Second}})
	assert.Equal(t, before, c.Decision())
}

// observe lets the controller see an accepted request that was sent while so many were in flight.
func observe(c *Controller, items, inFlight int, latency time.Duration, now time.Time) {
	c.Observe(Observation{
		Attempt:  attempt.Attempt{Items: items, Latency: latency, Outcome: attempt.Accepted},
		InFlight: inFlight, Among: inFlight, Now: now,
	})
}

func TestOneMomentMovesTheTargetOnce(t *testing.T) {
	c := New(adaptive())
	now := epoch
	for i := range 200 {
		now = now.Add(10 * time.Millisecond)
		items := 100 << (i % 4)
		observe(c, items, 4, 10*time.Millisecond+time.Duration(items)*50*time.Microsecond, now)
	}
	before := c.target  // the decision is kept smaller for a moment, until larger batches are seen again
	for i := range 20 { // what a machine that stood still answers then, when little is left in flight
		items := 100 << (i % 2)
		observe(c, items, 1, 20*time.Millisecond+time.Duration(items)*time.Millisecond, now.Add(time.Duration(i)*time.Millisecond))
	}
	assert.InDelta(t, before, c.target, before/2+1)
	observe(c, 100, 1, 120*time.Millisecond, now.Add(time.Second))
	assert.Less(t, c.target, 0.75*before, "a change that lasts is followed")
}

func TestTheKneeFollowsWhatWasSeenLately(t *testing.T) {
	c := New(adaptive())
	now := epoch
	for i := range 200 { // a bad time, in which few were in flight
		now = now.Add(10 * time.Millisecond)
		items := 200 << (i % 3)
		observe(c, items, 1, time.Millisecond+time.Duration(items)*50*time.Microsecond, now)
	}
	assert.InDelta(t, kneeFactor*1000/50, c.Decision().Target, 5)
	for i := range 400 { // batches are small since, so more of them are in flight; larger ones would be worth it
		now = now.Add(10 * time.Millisecond)
		items := 20 << (i % 3)
		observe(c, items, 4, 10*time.Millisecond+time.Duration(items)*50*time.Microsecond, now)
	}
	assert.InDelta(t, kneeFactor*10_000/50, c.Decision().Target, 100)
}
