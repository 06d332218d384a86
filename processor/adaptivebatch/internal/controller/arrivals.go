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
	// scarce is by how much longer than else waiting is worth for the last slot.
	scarce = 9
	// timerResolution is the shortest wait that a timer of the Go runtime keeps on Linux.
	timerResolution = time.Millisecond
	// worthATimer is the part of timerResolution from which on a batch waits as long as that where slots are scarce: what a wait
	// that is too long costs one batch is less than what a small one that takes a slot costs all.
	worthATimer = 0.25
	// bearable is the part of a request's fixed latency up to which a batch waits for a timer nevertheless.
	bearable = 2.0 / 3
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

// Waiting is a queue that has not reached its target.
type Waiting struct {
	// Age is how long its oldest item has been in it.
	Age time.Duration
	// Items is what it holds.
	Items int
	// Held is the number of callers that wait for an answer; below 0 where callers do not wait.
	Held     int
	InFlight InFlight
	// Timeout is the longest that an item may stay.
	Timeout time.Duration
}

// Wait returns how long a queue should still wait for more items; 0 or less means that it is ready as soon as a slot is free.
// While none is free a queue is always ready: it grows until its turn comes.
func (a *Arrivals) Wait(now time.Time, w Waiting, d Decision) time.Duration {
	switch {
	case d.Reason == Fixed:
		return w.Timeout - w.Age
	case !d.Free(w.InFlight, w.Items):
		return 0
	}
	return min(a.linger(now, w, d), w.Timeout) - w.Age
}

// linger returns how long waiting is worth while a slot is free. It is 0 when every producer seen lately already waits for
// an answer (none can add to the batch before one is answered), and when the batch would not at least double within what
// the decision allows.
func (a *Arrivals) linger(now time.Time, w Waiting, d Decision) time.Duration {
	longest := d.linger(w.InFlight)
	if w.Held >= max(a.peak, a.lastPeak) || w.Items >= d.Target || longest < timerResolution {
		return 0
	}
	rate := a.Rate(now)
	if rate*longest.Seconds() < (worthwhileGrowth-1)*float64(w.Items) {
		return 0
	}
	full := time.Duration(float64(d.Target-w.Items) / rate * float64(time.Second))
	return min(longest, full)
}

// linger returns the longest that waiting is worth. Where the backend works on no more at once, a small batch takes a slot that a
// larger one would make more of: the fewer are free, the longer, and where the backend answers fast as long as a timer takes.
func (d Decision) linger(f InFlight) time.Duration {
	if d.Limit < d.Cap || d.Cap >= d.Most {
		return d.Linger
	}
	used := float64(f.Exports-f.Retrying) / float64(d.Limit)
	longest := time.Duration(float64(d.Linger) * (1 + scarce*used*used))
	timer, fixed := timerResolution.Seconds(), d.Linger.Seconds()/lingerShare
	if longest.Seconds() >= worthATimer*timer && timer <= bearable*fixed {
		longest = max(longest, timerResolution)
	}
	return longest
}
