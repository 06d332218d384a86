package sink

import (
	"slices"
	"sync/atomic"
	"time"
)

// schedule finds the phase of a moment, and draws each request's fate from a seed: the n-th request of a run has the same
// fate in every run.
type schedule struct {
	phases []*activePhase
	seed   uint64
	drawn  atomic.Uint64
	begun  atomic.Int64 // nanoseconds since the Unix epoch; 0 before the load begins
}

type activePhase struct {
	Phase
	slots chan struct{} // one token for each request in service; nil without a limit
}

func newSchedule(phases []Phase, seed uint64) *schedule {
	s := &schedule{seed: seed, phases: []*activePhase{{}}}
	for _, p := range phases {
		active := &activePhase{Phase: p}
		if p.Capacity > 0 {
			active.slots = make(chan struct{}, p.Capacity)
		}
		s.phases = append(s.phases, active)
	}
	slices.SortStableFunc(s.phases[1:], func(a, b *activePhase) int { return int(a.At - b.At) })
	return s
}

// begin starts the clock that the phases are counted from.
func (s *schedule) begin(now time.Time) { s.begun.Store(now.UnixNano()) }

// at is the phase of a moment. Before the load begins the first phase holds already if it begins at 0.
func (s *schedule) at(now time.Time) *activePhase {
	var elapsed time.Duration
	if begun := s.begun.Load(); begun != 0 {
		elapsed = time.Duration(now.UnixNano() - begun)
	}
	current := s.phases[0]
	for _, p := range s.phases[1:] {
		if p.At > elapsed {
			break
		}
		current = p
	}
	return current
}

// draw gives the next two numbers between 0 and 1.
func (s *schedule) draw() (first, second float64) {
	n := s.drawn.Add(2)
	return unit(s.seed + n*0x9e3779b97f4a7c15), unit(s.seed + (n+1)*0x9e3779b97f4a7c15)
}

// unit scrambles x (the finalizer of splitmix64) into a number from 0 to below 1.
func unit(x uint64) float64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}
