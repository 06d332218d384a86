package controller

import (
	"slices"
	"time"
)

// limiter finds how many exports to have in flight, as two numbers.
//
// The limit is for batches that could still grow. While they wait for a slot they do, so few slots make few and large
// requests; too few make items wait. Slots are opened while batches wait long for one, compared with what sending takes.
//
// The cap is for all. It is what the backend works on at once: by Little's law the number in flight, divided by how many
// times longer than alone a request takes. It is open until requests are seen to take longer, and then tried again, a
// little higher, after a while that doubles with every attempt that failed. A batch that has reached its target gains
// nothing from waiting, and is sent while the cap allows it.
type limiter struct {
	limit, cap, most float64
	// wait and latency are moving averages, in seconds.
	wait, latency float64

	// round is the one being added to; roundAt is when the last one ended.
	round   round
	roundAt time.Time
	// endedAt is when the last request ended.
	endedAt time.Time
	// works is how many requests the backend was last seen to work on at once, 0 if it never had to be found out.
	works float64
	// proven is how many were in flight when requests took no longer than alone.
	proven float64
	// probing says that the cap was raised and not cut since; then capBefore and rateBefore are what it was, and the items a second
	// that were sent with that.
	probing               bool
	capBefore, rateBefore float64

	// While draining, half as many exports as otherwise are in flight. drainedTo is by how much that made requests faster.
	draining  bool
	drainAt   time.Time
	rounds    int // since drainAt
	drainedTo float64

	// capAt is when the cap was last changed, and hold how long it then stays.
	capAt time.Time
	hold  time.Duration
	// capUsed says that the cap was reached since capAt.
	capUsed bool
}

// round sums up requests that ended while others were in flight: their number, by how much longer than predicted each of the last took,
// what was predicted, what was in flight, and for how long the backend was busy with them.
type round struct {
	requests                  int
	longer                    [roundSize]float64
	predicted, inFlight, busy float64
	items                     int
}

// add adds a request; before is when the last one ended.
func (r *round) add(o Observation, predicted float64, before time.Time) {
	if began := o.Now.Add(-o.Latency); before.Before(began) {
		before = began
	}
	r.longer[r.requests%roundSize] = o.Latency.Seconds() / max(predicted, 1e-9)
	r.requests++
	r.items += o.Items
	r.predicted += predicted
	r.inFlight += float64(max(o.InFlight, o.Among))
	r.busy += o.Now.Sub(before).Seconds()
}

// inflation is how many times longer than predicted requests took on average, without the longest few. Queueing makes all of them
// longer; a busy machine makes some of them much longer, and these must not close slots.
func (r *round) inflation() float64 {
	sorted := r.longer
	slices.Sort(sorted[:])
	sum := 0.0
	for _, l := range sorted[:roundSize-outliers] {
		sum += l
	}
	return sum / (roundSize - outliers)
}

// rate returns items per second.
func (r *round) rate() float64 { return float64(r.items) / max(r.busy, 1e-6) }

// worked returns how many requests the backend worked on at once: the seconds of work that it did, by the time it took for
// them.
func (r *round) worked() float64 { return r.predicted / max(r.busy, 1e-6) }

const (
	startLimit = 8
	startCap   = 48
	// waitShare is the wait for a slot, as a part of the latency, up to which no further slot is opened. With n slots evenly
	// used the wait is about latency/n.
	waitShare = 0.05
	// average is the weight of a new value in the moving averages.
	average = 0.1
	// roundSize is the least number of requests by which inflation is judged: with a noise of 20 % their mean is known to 5 %.
	roundSize = 16
	// outliers is the number of requests of a round that are left out, the longest.
	outliers = 2
	// inflationBound is how many times the predicted latency, on average over a round, counts as queueing in the backend.
	inflationBound = 1.4
	// worksKeep is what remains, after each further round, of what the backend was seen to work on: the last requests of a burst
	// leave it idle in part.
	worksKeep = 0.95
	// headroom is kept above what the backend is seen to work on.
	headroom = 1.25
	// overloadCut is what remains of the cap when the backend says that it is overloaded.
	overloadCut = 0.7
	// capGrowth is by how much a cap is tried to be higher.
	capGrowth = 1.25
	// trialGain is by how much more must be sent for a higher cap to stay. Where the machine is the limit, more requests at once are
	// only smaller ones.
	trialGain = 1.08
	// slowStart is by how much the cap grows with each round until requests have been seen to queue for the first time.
	slowStart          = 2
	firstHold, maxHold = time.Second, 30 * time.Second
	// drainEvery is the time between two drains, or drainRoundTrips if that is longer.
	drainEvery      = 2 * time.Second
	drainRoundTrips = 50
	// drainRounds is the least number of rounds between two drains: a burst is not held up by one.
	drainRounds = 32
	// drainGain is the ratio of measured to predicted latency below which a drain has shown that predictions had queueing
	// in them.
	drainGain = 0.9
)

func newLimiter(most int) limiter {
	return limiter{limit: float64(min(startLimit, most)), cap: float64(min(startCap, most)), most: float64(most), hold: firstHold}
}

func (l *limiter) value() int { return l.drained(min(l.limit, l.cap)) }

func (l *limiter) capValue() int { return l.drained(l.cap) }

func (l *limiter) drained(n float64) int {
	if l.draining {
		n /= 2
	}
	return max(1, int(n))
}

func (l *limiter) waited(d time.Duration) { l.wait += average * (d.Seconds() - l.wait) }

// accepted learns from a request whose latency was expected to be predicted seconds, or of which nothing was known. It
// returns the reason of a change, or nothing.
func (l *limiter) accepted(o Observation, predicted float64, known bool) Reason {
	seconds := o.Latency.Seconds()
	if l.latency == 0 {
		l.latency = seconds
	}
	l.latency += average * (seconds - l.latency)
	l.capUsed = l.capUsed || float64(max(o.InFlight, o.Among)) >= 0.8*l.cap
	before := l.endedAt
	l.endedAt = o.Now
	if known && (max(o.InFlight, o.Among) > 1 || l.draining) {
		l.round.add(o, predicted, before)
		if l.round.requests >= roundSize && (!l.draining || o.Now.Sub(l.roundAt) >= o.Latency) {
			r := l.round
			l.round, l.roundAt = round{}, o.Now
			return l.judge(r, o)
		}
	}
	if float64(max(o.InFlight, o.Among)) >= 0.8*l.limit && l.limit < l.cap && l.wait > waitShare*l.latency {
		l.limit = min(l.cap, l.limit+2/l.limit)
		return SlotWait
	}
	return ""
}

// judge draws the conclusions of a round.
func (l *limiter) judge(r round, o Observation) Reason {
	inflation := r.inflation()
	inFlight := r.inFlight / float64(r.requests)
	if l.draining {
		return l.endDrain(inflation)
	}
	if inflation > inflationBound {
		l.works = max(worksKeep*l.works, r.worked())
		l.proven *= worksKeep
		works := max(1, headroom*max(l.works, l.proven))
		if works >= l.cap {
			return ""
		}
		l.setCap(works, o.Now)
		l.hold = min(maxHold, 2*l.hold)
		return Inflation
	}
	l.proven = max(l.proven, inFlight)
	if l.rounds++; l.rounds >= drainRounds && inFlight > 2 && inFlight >= 0.8*l.limit && o.Now.Sub(l.drainAt) >= max(drainEvery, drainRoundTrips*o.Latency) {
		l.draining, l.drainAt, l.rounds = true, o.Now, 0
		l.roundAt = o.Now.Add(o.Latency) // until then what ends was sent before
		return ""
	}
	if l.cap >= l.most || !l.capUsed {
		return ""
	}
	growth := capGrowth
	switch {
	case l.probing && r.rate() < trialGain*l.rateBefore:
		l.setCap(l.capBefore, o.Now)
		l.hold = min(maxHold, 2*l.hold)
		return SlotWait
	case l.works == 0 && (l.probing || l.capAt.IsZero()):
		growth = slowStart
	case l.probing:
		l.hold = max(firstHold, l.hold/2)
	case o.Now.Sub(l.capAt) < l.hold:
		return ""
	}
	before := l.cap
	l.setCap(min(l.most, max(l.cap+1, growth*l.cap)), o.Now)
	l.probing, l.capBefore, l.rateBefore = true, before, r.rate()
	return SlotWait
}

// endDrain compares. A backend that works on all that is in flight answers half as many no faster.
func (l *limiter) endDrain(inflation float64) Reason {
	l.draining = false
	if inflation >= drainGain {
		return ""
	}
	l.drainedTo = inflation
	return Drained
}

// setCap changes the cap; a lower one takes the limit with it.
func (l *limiter) setCap(to float64, now time.Time) {
	l.cap, l.capAt, l.capUsed, l.probing = to, now, false, false
	l.limit = min(l.limit, l.cap)
}

// overloaded lowers the cap, once per round trip: what was in flight together tells the same thing once.
func (l *limiter) overloaded(o Observation) bool {
	if now := o.Now; !l.capAt.IsZero() && now.Sub(l.capAt) < max(o.Latency, 10*time.Millisecond) {
		return false
	}
	l.setCap(max(1, overloadCut*min(l.cap, float64(o.InFlight))), o.Now)
	l.hold = min(maxHold, 2*l.hold)
	return true
}
