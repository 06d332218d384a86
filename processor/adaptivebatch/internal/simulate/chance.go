package simulate

import (
	"math"
	"slices"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// Where half of the requests fail, a call's wait is the exporter's back-off, and how many failures in a row its batch draws is chance.
// The P99 of one run hangs on a handful of draws, and the best of 84 configurations is the luckiest of 84. The calls of many runs
// together have a P99 that says something.

// PooledRuns are the numbers of runs, with different chance, whose calls are taken together.
var PooledRuns = []int{1, 3, 11, 33}

// JudgedOver is the number of further runs over which the fixed configuration that was best over most runs is judged once more: where the
// same runs choose and judge, luck counts.
const JudgedOver = 21

// Chance is what remains of a pair's regret when the calls of several runs are taken together.
type Chance struct {
	// Ratios is the regret over the calls of so many runs as PooledRuns says, each with the fixed configuration that is best over them.
	Ratios []float64
	// Best is that over most runs, and Fixed and Adaptive are the P99 with it and with the defaults over the calls of JudgedOver others.
	Best            Fixed
	Fixed, Adaptive time.Duration
}

// WithoutChance runs all fixed configurations many times.
func WithoutChance(pair Pair) Chance {
	var c Chance
	lowest := slices.Repeat([]time.Duration{math.MaxInt64}, len(PooledRuns))
	for _, f := range FixedConfigs() {
		for i, p99 := range pooled(pair, f.Config(), 1, PooledRuns) {
			if p99 >= lowest[i] {
				continue
			}
			lowest[i] = p99
			if i == len(PooledRuns)-1 {
				c.Best = f
			}
		}
	}
	for i, p99 := range pooled(pair, Adaptive(), 1, PooledRuns) {
		c.Ratios = append(c.Ratios, float64(p99)/float64(lowest[i]))
	}
	others, judged := uint64(PooledRuns[len(PooledRuns)-1]+1), []int{JudgedOver} //nolint:gosec // a small constant
	c.Fixed, c.Adaptive = pooled(pair, c.Best.Config(), others, judged)[0], pooled(pair, Adaptive(), others, judged)[0]
	return c
}

// pooled returns the P99 of the calls of the first so many runs, for each of these numbers, which rise. From a run on that does not carry the
// load it is the largest duration.
func pooled(pair Pair, cfg controller.Config, firstSeed uint64, runs []int) []time.Duration {
	p99s := slices.Repeat([]time.Duration{math.MaxInt64}, len(runs))
	var all []time.Duration
	done := 0
	for i, n := range runs {
		for ; done < n; done++ {
			s := simulated(pair, cfg, Options{Seed: firstSeed + uint64(done)}) //nolint:gosec // not below 0
			if !s.result.Carried() {
				return p99s
			}
			all = append(all, s.latencies...)
		}
		slices.Sort(all)
		p99s[i] = quantile(all, 0.99)
	}
	return p99s
}
