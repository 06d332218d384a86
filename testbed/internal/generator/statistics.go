package generator

import (
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/grpc/status"
)

// Bounds of the histograms: a microsecond to ten minutes, to three significant digits.
const (
	lowest  = int64(1)
	highest = int64(10 * time.Minute / time.Microsecond)
	digits  = 3
)

// recorder is a histogram of durations in microseconds, in shards, so that clients do not wait for each other.
type recorder struct{ shards [8]shard }

type shard struct {
	mu   sync.Mutex
	hist *hdrhistogram.Histogram
}

func newRecorder() *recorder {
	r := new(recorder)
	for i := range r.shards {
		r.shards[i].hist = hdrhistogram.New(lowest, highest, digits)
	}
	return r
}

func (r *recorder) record(d time.Duration) {
	s := &r.shards[rand.IntN(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	// The only error is a value out of bounds, and it is within.
	_ = s.hist.RecordValue(min(max(d.Microseconds(), lowest), highest))
}

func (r *recorder) merged() *hdrhistogram.Histogram {
	all := hdrhistogram.New(lowest, highest, digits)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		all.Merge(s.hist)
		s.mu.Unlock()
	}
	return all
}

// errorCounts counts failed attempts by what they say.
type errorCounts struct {
	mu     sync.Mutex
	counts map[string]uint64
}

// maxErrorKinds bounds the memory of errorCounts: messages may hold addresses that change.
const maxErrorKinds = 50

func (e *errorCounts) add(err error) {
	kind := err.Error()
	if failed := new(sendError); errors.As(err, &failed) {
		if st, ok := status.FromError(failed.err); ok {
			kind = st.Code().String()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts == nil {
		e.counts = map[string]uint64{}
	}
	if _, known := e.counts[kind]; !known && len(e.counts) >= maxErrorKinds {
		kind = "other"
	}
	e.counts[kind]++
}

// jitter spreads the retries of many clients: between half of d and d, the same for the same attempt of the same request in every run
// with this seed.
func jitter(d time.Duration, seed, request, attempt uint64) time.Duration {
	if d <= 0 {
		return 0
	}
	draw := rand.NewPCG(seed, request<<16|attempt&0xffff).Uint64()
	return d/2 + time.Duration(draw%uint64(d/2+1))
}

// Statistics are what a generator has seen until now.
type Statistics struct {
	// Acknowledged counts items since the start.
	Acknowledged uint64
	// Attempts and Failures count requests, every retry of them.
	Attempts, Failures uint64
	// Skipped requests were due and never sent, because too many were due already.
	Skipped uint64
	// Rejected items were left out by a partial success.
	Rejected int64
	// Errors counts failed attempts by their status.
	Errors map[string]uint64
}

// Statistics may be called at any time.
func (g *Generator) Statistics() Statistics {
	g.errors.mu.Lock()
	defer g.errors.mu.Unlock()
	return Statistics{
		Acknowledged: g.acknowledged.Load(), Attempts: g.attempts.Load(),
		Failures: g.failures.Load(), Skipped: g.skipped.Load(), Rejected: g.rejected.Load(), Errors: maps.Clone(g.errors.counts),
	}
}

// Latencies are those of the measured requests that were acknowledged, in microseconds.
func (g *Generator) Latencies() *hdrhistogram.Histogram { return g.latencies.merged() }

// Lags are how late the measured requests of an open loop were sent, in microseconds.
func (g *Generator) Lags() *hdrhistogram.Histogram { return g.lags.merged() }
