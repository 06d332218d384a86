// Command plot draws, for three loads, the target and the latency of the adaptive processor over time, beside a fixed batch as the stock
// processor has it. It writes one SVG for each into the folder that is its argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/simulate"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "plot: needs the folder to write to")
		os.Exit(2)
	}
	for _, pair := range pairs() {
		path := filepath.Join(os.Args[1], pair.Load.Name+".svg")
		if err := os.WriteFile(path, draw(pair), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "plot:", err)
			os.Exit(1)
		}
	}
}

// drawn names a load and a backend for it.
var drawn = [][2]string{{"step", "capacity"}, {"bursts", "capacity"}, {"wave", "costly"}}

func pairs() []simulate.Pair {
	var all []simulate.Pair
	for _, names := range drawn {
		for _, pair := range simulate.Pairs() {
			if pair.Load.Name == names[0] && pair.Backend.Name == names[1] {
				all = append(all, pair)
			}
		}
	}
	return all
}

// fixedBatch is the stock processor's default, in front of an exporter with its default number of consumers.
var fixedBatch = controller.Config{StartItems: 8192, MaxItems: 8192, Timeout: 200 * time.Millisecond, MaxConcurrency: 10}

// sampleEvery is short enough to show a step being followed, and long enough to hold some calls.
const sampleEvery = 250 * time.Millisecond

func trace(pair simulate.Pair, cfg controller.Config) []simulate.Sample {
	var samples []simulate.Sample
	simulate.Run(pair, cfg, simulate.Options{Seed: 1, TraceEvery: sampleEvery, Trace: func(s simulate.Sample) { samples = append(samples, s) }})
	return samples
}

func draw(pair simulate.Pair) []byte {
	adaptive, fixed := trace(pair, simulate.Adaptive()), trace(pair, fixedBatch)
	milliseconds := func(s simulate.Sample) float64 { return float64(s.P99) / float64(time.Millisecond) }
	return page(fmt.Sprintf("Load %q, backend %q", pair.Load.Name, pair.Backend.Name), []panel{
		{"items a second, answered", []line{{"adaptive", course(adaptive, func(s simulate.Sample) float64 { return s.Rate })}}},
		{"target, items", []line{
			{"adaptive", course(adaptive, func(s simulate.Sample) float64 { return float64(s.Decision.Target) })},
			{"fixed", course(fixed, func(s simulate.Sample) float64 { return float64(s.Decision.Target) })},
		}},
		{"P99 from call to answer, ms", []line{{"adaptive", course(adaptive, milliseconds)}, {"fixed", course(fixed, milliseconds)}}},
	})
}

// course leaves out moments without a value: a logarithm has no place for them.
func course(samples []simulate.Sample, of func(simulate.Sample) float64) []point {
	var points []point
	for _, s := range samples {
		if v := of(s); v > 0 {
			points = append(points, point{s.At.Seconds(), v})
		}
	}
	return points
}
