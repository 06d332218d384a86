package controller

import (
	"math"
	"time"
)

// Arrivals knows one batch stream's producers: how fast they send, and how many of them wait for an answer.
type Arrivals struct {
	// decayed is the number of items seen, each worth e times less every rateWindow.
	decayed float64
	at      time.Time
	// peak is the largest number of callers held at once in this and in the last window.
	peak, lastPeak int
	windowEnd      time.Time
}

const (
	// rateWindow is the time constant of the arrival rate: short enough to see a burst, long enough to span the gaps of a
	// steady load.
	rateWindow = 100 * time.Millisecond
	// peakWindow is how long a producer that has gone counts as one that may come back.
	peakWindow = time.Second
	// worthwhileGrowth is the factor by which a batch must be expected to grow for waiting to pay.
	worthwhileGrowth = 2
	// timerResolution is the shortest wait that a timer of the Go runtime keeps on Linux.
	timerResolution = time.Millisecond
)

// Arrive counts a call with so many items, when held callers (this one included) wait for an answer.
func (a *Arrivals) Arrive(now time.Time, items, held int) {
	a.decay(now)
	a.decayed += float64(items)
	if now.After(a.windowEnd) {
		a.lastPeak = a.peak
		if now.After(a.windowEnd.Add(peakWindow)) {
			a.lastPeak = 0
		}
		a.peak = 0
		a.windowEnd = now.Add(peakWindow)
	}
	a.peak = max(a.peak, held)
}

// Rate returns items per second.
func (a *Arrivals) Rate(now time.Time) float64 {
	a.decay(now)
	return a.decayed / rateWindow.Seconds()
}

func (a *Arrivals) decay(now time.Time) {
	if dt := now.Sub(a.at); dt > 0 {
		a.decayed *= math.Exp(-float64(dt) / float64(rateWindow))
		a.at = now
	}
}

// Linger returns how long a batch of so many items should still wait while a slot is free, for held callers waiting. It is 0
// when every producer seen lately already waits for an answer (none can add to the batch before one is answered), and when
// the batch would not at least double within what the decision allows.
func (a *Arrivals) Linger(now time.Time, items, held int, d Decision) time.Duration {
	if held >= max(a.peak, a.lastPeak) || items >= d.Target || d.Linger < timerResolution {
		return 0
	}
	rate := a.Rate(now)
	if rate*d.Linger.Seconds() < (worthwhileGrowth-1)*float64(items) {
		return 0
	}
	full := time.Duration(float64(d.Target-items) / rate * float64(time.Second))
	return min(d.Linger, full)
}
