package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// Backend is what answers.
type Backend struct {
	Name string
	// A request of n items takes Fixed + n x PerItem, and BeyondKnee more for each item above Knee.
	Fixed, PerItem, BeyondKnee time.Duration
	Knee                       int
	// Servers is the number of requests worked on at once; what comes above it queues.
	Servers int
	// Fails is the part of the requests that are answered Unavailable between FailFrom and FailTo.
	Fails            float64
	FailFrom, FailTo time.Duration
	// TooLarge is the number of items above which a request is refused; 0: none.
	TooLarge int
	// Deadline is how long the exporter waits for an answer; 0: forever.
	Deadline time.Duration
	// Slow is the part of the requests that take slowFactor times longer, whatever their size: the machine was busy.
	Slow float64
	// AtOnce: a queue between answers every request at once.
	AtOnce bool
}

const (
	us = time.Microsecond
	ms = time.Millisecond
)

// Backends are those of the regret table.
var Backends = []Backend{
	{Name: "fast", Fixed: 1 * ms, PerItem: 1 * us, Servers: 64},
	{Name: "far", Fixed: 100 * ms, PerItem: 1 * us, Servers: 256},
	{Name: "costly", Fixed: 5 * ms, PerItem: 100 * us, Servers: 16},
	{Name: "capacity", Fixed: 2 * ms, PerItem: 5 * us, Servers: 4},
	{Name: "non-linear", Fixed: 2 * ms, PerItem: 1 * us, Knee: 500, BeyondKnee: 50 * us, Servers: 64},
	{Name: "failing", Fixed: 1 * ms, PerItem: 1 * us, Servers: 64, Fails: 0.5, FailFrom: 8 * time.Second, FailTo: 18 * time.Second},
	{Name: "too large", Fixed: 1 * ms, PerItem: 1 * us, Servers: 64, TooLarge: 400},
	{Name: "deadline", Fixed: 5 * ms, PerItem: 100 * us, Servers: 16, Deadline: 200 * ms},
	{Name: "outage", Fixed: 1 * ms, PerItem: 1 * us, Servers: 64, Fails: 1, FailFrom: 6 * time.Second, FailTo: 36 * time.Second},
	{Name: "queue", AtOnce: true},
}

const (
	// noise is the standard deviation of the logarithm of a latency.
	noise = 0.2
	// slowFactor is how many times longer a slow request takes.
	slowFactor = 20
	// atOnce is what it takes to put a batch into a queue.
	atOnce = 10 * us
	// failure is how fast a request is refused.
	failure = 1 * ms
	// The exporter's own retries: the first after firstRetry, each later one after retryFactor times longer, up to lastRetry.
	firstRetry  = 100 * ms
	retryFactor = 1.5
	lastRetry   = 5 * time.Second
)

// request is one attempt to send so many items.
type request struct {
	batch   *batch
	items   int
	began   time.Duration
	expired bool // the exporter no longer waits for it
}

// server works on requests.
type server struct {
	backend *Backend
	rng     *rand.Rand
	busy    int
	queue   fifo[*request]
}

func newServer(b *Backend, seed uint64) *server {
	return &server{backend: b, rng: rand.New(rand.NewPCG(seed, 2))} //nolint:gosec // repeatable on purpose
}

// takes returns the time for a request of n items.
func (s *server) takes(n int) time.Duration {
	b := s.backend
	mean := float64(b.Fixed) + float64(n)*float64(b.PerItem)
	if b.Knee > 0 && n > b.Knee {
		mean += float64(n-b.Knee) * float64(b.BeyondKnee)
	}
	if b.Slow > 0 && s.rng.Float64() < b.Slow {
		mean *= slowFactor
	}
	return time.Duration(mean * math.Exp(noise*s.rng.NormFloat64()))
}

// refuses returns how a request is answered that is not worked on, or Accepted.
func (s *server) refuses(now time.Duration, items int) (attempt.Outcome, time.Duration) {
	b := s.backend
	switch {
	case now >= b.FailFrom && now < b.FailTo && s.rng.Float64() < b.Fails:
		return attempt.Unavailable, failure
	case b.TooLarge > 0 && items > b.TooLarge:
		return attempt.TooLarge, failure
	}
	return attempt.Accepted, 0
}
