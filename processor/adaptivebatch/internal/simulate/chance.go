package simulate

import (
	"math"
	"slices"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// Where half of the requests fail, a call's wait is the exporter's back-off, and how many failures in a row its batch draws is chance.
// The P99 of one run hangs on a handful of draws, and the best of 84 configurations is the luckiest of 84.
const (
	// ChosenOver and JudgedOver are the numbers of runs, with different chance, over which the best fixed configuration is chosen, and
	// then compared: if the same runs did both, its luck would count again.
	ChosenOver = 11
	JudgedOver = 21
)

// BestOfMany returns the fixed configuration with the lowest median, over the first ChosenOver seeds, of its P99.
func BestOfMany(pair Pair) Fixed {
	var best Fixed
	lowest := time.Duration(math.MaxInt64)
	for _, f := range FixedConfigs() {
		if m := median(pair, f.Config(), 1, ChosenOver); m < lowest {
			best, lowest = f, m
		}
	}
	return best
}

// Median returns the median, over the JudgedOver seeds that BestOfMany does not use, of the P99.
func Median(pair Pair, cfg controller.Config) time.Duration {
	return median(pair, cfg, ChosenOver+1, JudgedOver)
}

func median(pair Pair, cfg controller.Config, firstSeed uint64, runs int) time.Duration {
	all := make([]time.Duration, runs)
	for i := range all {
		r := Run(pair, cfg, Options{Seed: firstSeed + uint64(i)})
		all[i] = r.P99
		if !r.Carried() {
			all[i] = math.MaxInt64
		}
	}
	slices.Sort(all)
	return all[runs/2]
}
