package simulate

import (
	"fmt"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// maxItems is the default send_batch_max_size; fixed and adaptive batches grow up to it while no slot is free.
const maxItems = 2000

// Adaptive returns the processor's defaults.
func Adaptive() controller.Config {
	return controller.Config{
		Adaptive: true, StartItems: 100, MinItems: 10, MaxItems: maxItems, Timeout: 200 * ms, MaxConcurrency: 256, CallersWait: true,
	}
}

// Fixed is a configuration with `adaptive: false`.
type Fixed struct {
	Size        int
	Timeout     time.Duration
	Concurrency int
}

func (f Fixed) String() string { return fmt.Sprintf("%d x %s x %d", f.Size, f.Timeout, f.Concurrency) }

// Config returns the controller's configuration.
func (f Fixed) Config() controller.Config {
	return controller.Config{StartItems: f.Size, MaxItems: maxItems, Timeout: f.Timeout, MaxConcurrency: f.Concurrency}
}

// FixedConfigs are those of the sweep; those that tend to be best come first, which lets the others be given up early.
func FixedConfigs() []Fixed {
	var all []Fixed
	for _, timeout := range []time.Duration{5 * ms, 50 * ms, 200 * ms} {
		for _, concurrency := range []int{64, 16, 4, 1} {
			for _, size := range []int{100, 10, 50, 200, 500, 1000, 2000} {
				all = append(all, Fixed{size, timeout, concurrency})
			}
		}
	}
	return all
}

// Best is the fixed configuration with the lowest P99 of a pair.
type Best struct {
	Fixed  Fixed
	Result Result
	// Found says whether any carries the load.
	Found bool
}

// BestFixed tries all of them on the same calls.
func BestFixed(pair Pair, seed uint64) Best {
	var best Best
	o := Options{Seed: seed}
	if from, _ := pair.window(); pair.Backend.Fails == 0 {
		o.From = from - time.Second/2 // enough for queues to fill
	}
	for _, f := range FixedConfigs() {
		r := Run(pair, f.Config(), o)
		if !r.Carried() || best.Found && r.P99 >= best.Result.P99 {
			continue
		}
		best = Best{Fixed: f, Result: r, Found: true}
		if pair.Load.Waiting == 0 { // the number of calls does not depend on the answers
			o.GiveUp, o.MaxAbove = r.P99, r.Answered/100+1
		}
	}
	return best
}
