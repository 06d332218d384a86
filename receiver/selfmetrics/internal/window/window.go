// Package window turns the cumulative counters and histograms of successive scrapes into what happened between them.
//
// It holds no clock: the caller says when each scrape was. A Window is not safe for concurrent use.
package window

import (
	"math"
	"time"
)

// Window remembers the last value of every series. The zero value is not usable: see New.
//
// What it does at the edges, always in favour of a rate that is true and never negative:
//   - At the first scrape nothing has a rate: how long the counters have been counting is not known.
//   - A series that appears between two scrapes started at zero between them (the OpenTelemetry SDK creates a series with
//     its first event), so all of its value belongs to this window. Prometheus, which has no such promise, drops it.
//   - A value below the last one is a reset: the counter restarted at zero, as Prometheus assumes too. An integer counter
//     that wrapped looks the same and is treated the same.
//   - A series that was missing, or not a number, for some scrapes keeps its last value: its rate is taken over the whole
//     gap.
//   - When the instance changes, every counter restarted, also those whose value is larger than before.
type Window struct {
	limit    int
	series   map[string]*series
	previous time.Time // of the last complete scrape; zero before it
	now      time.Time
	scrape   uint64
	instance string
	refused  int
	forgot   bool // a series that looks new may be an old one
}

type series struct {
	at     time.Time
	scrape uint64
	value  float64
	counts []float64 // of a histogram: cumulative, by bucket
	bounds []float64
}

// New returns a Window that remembers at most limit series. Above that it forgets series that are no longer reported, and
// when there are none it refuses new ones.
func New(limit int) *Window {
	return &Window{limit: limit, series: make(map[string]*series)}
}

// Begin starts a scrape. The instance identifies the process that counts, and is empty where it is not known.
func (w *Window) Begin(now time.Time, instance string) {
	if w.instance != "" && instance != "" && instance != w.instance {
		clear(w.series)
	}
	if instance != "" {
		w.instance = instance
	}
	w.now = now
	w.scrape++
	w.refused = 0
}

// End closes a complete scrape. A scrape that failed half-way must not be begun: parse first, then Begin.
func (w *Window) End() {
	w.previous = w.now
	if len(w.series) < w.limit {
		return
	}
	for key, s := range w.series {
		if s.scrape != w.scrape {
			delete(w.series, key)
			w.forgot = true
		}
	}
}

// Len returns the number of series remembered, and how many the last scrape refused because of the limit.
func (w *Window) Len() (tracked, refused int) { return len(w.series), w.refused }

// Rate takes the value of a counter in this scrape and returns its increase per second. It returns false where there is
// none: at the first scrape, or for a value that a counter cannot have.
//
// The key identifies the series; it is copied only when the series is new.
func (w *Window) Rate(key []byte, value float64) (perSecond float64, ok bool) {
	if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
		return 0, false
	}
	s, since := w.lookup(key)
	if s == nil {
		return 0, false
	}
	increase := value - s.value
	if increase < 0 {
		increase = value
	}
	s.value = value
	return perSecondOf(increase, w.now, since)
}

// lookup finds the series, or creates it with the value zero, and returns it with the time since when its increase counts
// (zero: not known). It returns nil when the limit is reached.
func (w *Window) lookup(key []byte) (s *series, since time.Time) {
	s, found := w.series[string(key)]
	if !found {
		if len(w.series) >= w.limit {
			w.refused++
			w.forgot = true
			return nil, time.Time{}
		}
		s = &series{at: w.previous}
		if w.forgot {
			s.at = time.Time{}
		}
		w.series[string(key)] = s
	}
	since = s.at
	s.at, s.scrape = w.now, w.scrape
	return s, since
}

func perSecondOf(increase float64, now, since time.Time) (float64, bool) {
	elapsed := now.Sub(since).Seconds()
	if since.IsZero() || elapsed <= 0 {
		return 0, false
	}
	return increase / elapsed, true
}
