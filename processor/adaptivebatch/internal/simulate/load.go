package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// Load is what the clients send.
type Load struct {
	Name string
	// Rate returns the items per second at a time; clients send them in calls of Items, at random times (a Poisson process),
	// whether or not earlier calls have been answered.
	Rate  func(time.Duration) float64
	Items int
	// Waiting clients send their next call when the last one was answered; Rate is not used then.
	Waiting int
	// Every BurstEvery, for the first time after half of it, Burst further items come at once, in calls of Items.
	Burst      int
	BurstEvery time.Duration
	// Steps are the times at which the rate jumps; what it takes to follow them is not part of the measurement.
	Steps []time.Duration
	// Duration is how long the clients send, the warm-up included.
	Duration time.Duration
}

// settling is how long after a jump latencies are not counted: the controller has this long to follow.
const settling = 3 * time.Second

// settled reports whether calls of this time count.
func (l *Load) settled(at time.Duration) bool {
	for _, s := range l.Steps {
		if at >= s && at < s+settling {
			return false
		}
	}
	return true
}

func constant(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// stepped jumps from low to high at up, and back at down.
func stepped(low, high float64, up, down time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if at >= up && at < down {
			return high
		}
		return low
	}
}

// ramped rises evenly from low to high.
func ramped(low, high float64, over time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		return low + (high-low)*min(1, at.Seconds()/over.Seconds())
	}
}

// waved swings between low and high.
func waved(low, high float64, period time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		phase := 2 * math.Pi * at.Seconds() / period.Seconds()
		return low + (high-low)*(1-math.Cos(phase))/2
	}
}

// Loads are those of the regret table.
var Loads = []Load{
	{Name: "trickle", Rate: constant(10), Items: 1, Duration: 65 * time.Second},
	{Name: "low", Rate: constant(1_000), Items: 10, Duration: 20 * time.Second},
	{Name: "high", Rate: constant(200_000), Items: 100, Duration: 12 * time.Second},
	{
		Name: "step", Rate: stepped(1_000, 20_000, 10*time.Second, 20*time.Second), Items: 10,
		Steps: []time.Duration{10 * time.Second, 20 * time.Second}, Duration: 30 * time.Second,
	},
	{Name: "ramp", Rate: ramped(100, 200_000, time.Minute), Items: 100, Duration: time.Minute},
	{Name: "bursts", Rate: constant(500), Items: 100, Burst: 50_000, BurstEvery: 5 * time.Second, Duration: 30 * time.Second},
	{Name: "wave", Rate: waved(1_000, 100_000, time.Minute), Items: 100, Duration: 65 * time.Second},
	{Name: "500 waiting", Waiting: 500, Items: 1, Duration: 6 * time.Second},
	{Name: "1 waiting", Waiting: 1, Items: 1, Duration: 10 * time.Second},
}

// thinking is how long a waiting client takes between an answer and its next call.
const thinking = time.Millisecond

// source makes the calls of a load.
type source struct {
	load *Load
	rng  *rand.Rand
	next time.Duration // of the Poisson process
	// burst is the number of calls left of the burst at nextBurst.
	burst     int
	nextBurst time.Duration
}

func newSource(load *Load, seed uint64, from time.Duration) *source {
	s := &source{load: load, rng: rand.New(rand.NewPCG(seed, 1)), nextBurst: math.MaxInt64} //nolint:gosec // repeatable on purpose
	if load.Burst > 0 {
		s.nextBurst = load.BurstEvery / 2
		s.burst = load.Burst / load.Items
	}
	if load.Waiting > 0 {
		s.next = math.MaxInt64
		return s
	}
	for s.advance(); s.next < from; s.advance() {
	}
	for s.nextBurst < from {
		s.nextBurst += load.BurstEvery
	}
	return s
}

// advance moves to the next call of the Poisson process.
func (s *source) advance() {
	calls := s.load.Rate(s.next) / float64(s.load.Items)
	s.next += time.Duration(s.rng.ExpFloat64() / calls * float64(time.Second))
}

// at returns the time of the next call; beyond the load's duration there is none.
func (s *source) at() time.Duration {
	if next := min(s.next, s.nextBurst); next < s.load.Duration {
		return next
	}
	return math.MaxInt64
}

// take consumes the next call.
func (s *source) take() {
	if s.nextBurst > s.next {
		s.advance()
		return
	}
	if s.burst--; s.burst == 0 {
		s.burst = s.load.Burst / s.load.Items
		s.nextBurst += s.load.BurstEvery
	}
}
