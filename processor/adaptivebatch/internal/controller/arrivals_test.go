package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// far is the decision for a backend far away, with slots free.
var far = Decision{Target: 1000, Linger: 15 * time.Millisecond, Limit: 4, Cap: 4, Most: 4}

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

func TestWaitingRules(t *testing.T) {
	at := func(itemsPerSecond float64) Arrivals {
		return Arrivals{decayed: itemsPerSecond * rateWindow.Seconds(), at: epoch, peak: 10, windowEnd: epoch.Add(peakWindow)}
	}
	busy := InFlight{Exports: 4}
	tooShort := far
	tooShort.Linger = 999 * time.Microsecond
	fixed := far
	fixed.Reason = Fixed
	for _, c := range []struct {
		why      string
		arrivals Arrivals
		waiting  Waiting
		decision Decision
		want     time.Duration
	}{
		{"it pays", at(10_000), Waiting{Items: 10, Held: 5}, far, 15 * time.Millisecond},
		{"some of it has passed", at(10_000), Waiting{Items: 10, Held: 5, Age: time.Millisecond}, far, 14 * time.Millisecond},
		{"the target is reached before", at(200_000), Waiting{Items: 10, Held: 5}, far, 4950 * time.Microsecond},
		{"too slow to double", at(500), Waiting{Items: 10, Held: 5}, far, 0},
		{"every producer waits already", at(10_000), Waiting{Items: 10, Held: 10}, far, 0},
		{"nobody waits for answers", at(10_000), Waiting{Items: 10, Held: -1}, far, 15 * time.Millisecond},
		{"large enough", at(10_000), Waiting{Items: 1000, Held: 5}, far, 0},
		{"shorter than a timer", at(1e9), Waiting{Items: 10, Held: 5}, tooShort, 0},
		{"no slot is free: it waits for one anyway", at(10_000), Waiting{Items: 10, Held: 5, InFlight: busy}, far, 0},
		{"fixed", at(0), Waiting{Items: 10, Held: 10, Age: 50 * time.Millisecond}, fixed, 150 * time.Millisecond},
	} {
		c.waiting.Timeout = 200 * time.Millisecond
		assert.Equal(t, c.want, c.arrivals.Wait(epoch, c.waiting, c.decision), c.why)
	}
}

func TestWhereSlotsAreScarceABatchWaitsLonger(t *testing.T) {
	var a Arrivals
	for i := range 1000 {
		a.Arrive(epoch.Add(time.Duration(i)*time.Millisecond), 10, -1)
	}
	now := epoch.Add(time.Second)
	d := Decision{Target: 1000, Linger: 2 * time.Millisecond, Limit: 4, Cap: 4, Most: 64}
	w := Waiting{Items: 5, Held: -1, Timeout: time.Second}
	assert.Equal(t, 2*time.Millisecond, a.Wait(now, w, d), "all slots are free")
	w.InFlight = InFlight{Exports: 3, Retrying: 1}
	assert.Equal(t, 6500*time.Microsecond, a.Wait(now, w, d), "half of them are")
	d.Cap = 64
	assert.Equal(t, 2*time.Millisecond, a.Wait(now, w, d), "the backend may well work on more")
}

func TestWhereSlotsAreScarceAShortWaitTakesAsLongAsATimer(t *testing.T) {
	var a Arrivals
	for i := range 1000 {
		a.Arrive(epoch.Add(time.Duration(i)*time.Millisecond), 10, -1)
	}
	now := epoch.Add(time.Second)
	d := Decision{Target: 1000, Linger: 200 * time.Microsecond, Limit: 4, Cap: 4, Most: 64}
	w := Waiting{Items: 5, Held: -1, Timeout: time.Second, InFlight: InFlight{Exports: 1}}
	assert.Equal(t, time.Millisecond, a.Wait(now, w, d), "312 us are worth a timer")
	w.InFlight.Exports = 3
	assert.Equal(t, 1212500*time.Nanosecond, a.Wait(now, w, d), "a timer keeps more than a millisecond")
	w.InFlight.Exports = 0
	assert.Zero(t, a.Wait(now, w, d), "200 us are not, with all slots free")
	w.InFlight.Exports, d.Linger = 3, 140*time.Microsecond
	assert.Zero(t, a.Wait(now, w, d), "a millisecond is too long where a request takes little more")
	d.Linger, d.Cap = 200*time.Microsecond, 64
	assert.Zero(t, a.Wait(now, w, d), "the backend may well work on more")
}

func TestAWaitIsNeverLongerThanTheTimeout(t *testing.T) {
	var a Arrivals
	a.Arrive(epoch, 1000, -1)
	w := Waiting{Items: 1, Held: -1, Timeout: time.Millisecond}
	assert.Equal(t, time.Millisecond, a.Wait(epoch, w, far))
}

func TestProducersThatHaveGoneAreForgotten(t *testing.T) {
	w := Waiting{Items: 1, Held: 2, Timeout: time.Second}
	var a Arrivals
	a.Arrive(epoch, 100, 50)
	a.Arrive(epoch.Add(peakWindow+1), 1000, 2)
	assert.Positive(t, a.Wait(epoch.Add(peakWindow+1), w, far), "48 may come back")
	a.Arrive(epoch.Add(4*peakWindow), 1000, 2)
	assert.Zero(t, a.Wait(epoch.Add(4*peakWindow), w, far), "they have not, and both that are left wait")
}

func TestASlotIsFree(t *testing.T) {
	d := Decision{Full: 100, Limit: 2, Cap: 4, Most: 6}
	for _, c := range []struct {
		why      string
		inFlight InFlight
		items    int
		want     bool
	}{
		{"below the limit", InFlight{Exports: 1}, 1, true},
		{"at the limit a batch may still grow", InFlight{Exports: 2}, 99, false},
		{"at the limit, and full", InFlight{Exports: 3}, 100, true},
		{"at the cap", InFlight{Exports: 4}, 100, false},
		{"those that wait for their retry leave room", InFlight{Exports: 5, Retrying: 4}, 1, true},
		{"but not without bound", InFlight{Exports: 6, Retrying: 6}, 1, false},
	} {
		assert.Equal(t, c.want, d.Free(c.inFlight, c.items), c.why)
	}
	d.Full = 0
	assert.False(t, d.Free(InFlight{Exports: 2}, 1_000_000), "without a knee a batch always gains from growing")
}
