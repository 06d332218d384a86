package controller

import "time"

// limiter finds how many exports to have in flight. While a slot is missing, batches grow by themselves, so few slots make
// few and large requests; too few make items wait. It therefore opens slots while batches that are due wait long for one
// (or are as large as they may become), and closes them when the backend answers slower than requests of that size used to,
// or says that it is overloaded.
type limiter struct {
	limit, most float64
	// wait and latency are moving averages, in seconds.
	wait, latency float64
	// floor is the ratio of measured to predicted latency when little is in flight, a moving minimum near 1.
	changed time.Time
}

const (
	startLimit = 4
	// waitShare is the wait for a slot, as a part of the latency, up to which no further slot is opened. With n slots evenly
	// used the wait is about latency/n, so this opens about ten before it is content.
	waitShare = 0.1
	// inflationBound is how many times the predicted latency counts as queueing in the backend.
	inflationBound = 1.8
	inflationCut   = 0.9
	overloadCut    = 0.5
	// average is the weight of a new value in the moving averages.
	average = 0.1
)

func newLimiter(most int) limiter {
	return limiter{limit: float64(min(startLimit, most)), most: float64(most)}
}

func (l *limiter) value() int { return max(1, int(l.limit)) }

func (l *limiter) waited(d time.Duration) { l.wait += average * (d.Seconds() - l.wait) }

// accepted learns from a request whose latency was expected to be predicted seconds; full says that it was as large as
// requests become. It returns the reason of a change, or nothing.
func (l *limiter) accepted(o Observation, predicted float64, full bool) Reason {
	seconds := o.Latency.Seconds()
	if l.latency == 0 {
		l.latency = seconds
	}
	l.latency += average * (seconds - l.latency)
	if predicted > 0 && seconds > inflationBound*predicted && float64(o.InFlight) > 1 {
		if l.cut(o.Now, o.Latency, inflationCut) {
			return Inflation
		}
		return ""
	}
	used := float64(o.InFlight) >= 0.8*l.limit
	if used && l.limit < l.most && (full || l.wait > waitShare*l.latency) {
		l.limit = min(l.most, l.limit+1/l.limit)
		return SlotWait
	}
	return ""
}

// overloaded halves the limit, once per round trip: what was in flight together tells the same thing once.
func (l *limiter) overloaded(now time.Time, roundTrip time.Duration) bool {
	return l.cut(now, roundTrip, overloadCut)
}

func (l *limiter) cut(now time.Time, roundTrip time.Duration, factor float64) bool {
	if !l.changed.IsZero() && now.Sub(l.changed) < roundTrip {
		return false
	}
	l.changed = now
	l.limit = max(1, factor*l.limit)
	return true
}
