// Command pairs compares what the simulator says of eight pairs with what the testbed has measured of them with real processes, by the
// median, or with -quantile p99 by the P99, which on a machine that has other work says more about that. Its argument is the testbed's report.json of
//
//	cd testbed && go run ./cmd/testbed run -contenders-file peers/contenders-batching.yaml \
//	  -contenders adaptive,fixed-10x5ms,fixed-100x50ms,fixed-1000x200ms pairs
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/simulate"
)

// cases maps the testbed's scenarios to pairs of the simulator.
var cases = []struct{ scenario, load, backend string }{
	{"pair-trickle-fast", "trickle", "fast"},
	{"pair-waiting-1-capacity", "1 waiting", "capacity"},
	{"pair-waiting-1-far", "1 waiting", "far"},
	{"pair-low-costly", "low", "costly"},
	{"pair-low-far", "low", "far"},
	{"pair-step-capacity", "step", "capacity"},
	{"pair-waiting-500-costly", "500 waiting", "costly"},
	{"pair-waiting-500-far", "500 waiting", "far"},
}

// contenders maps the testbed's contenders to configurations, in the order of the table's columns.
var contenders = []struct {
	name string
	cfg  controller.Config
}{
	{"adaptive", simulate.Adaptive()},
	{"fixed-10x5ms", simulate.Fixed{Size: 10, Timeout: 5 * time.Millisecond, Concurrency: 64}.Config()},
	{"fixed-100x50ms", simulate.Fixed{Size: 100, Timeout: 50 * time.Millisecond, Concurrency: 16}.Config()},
	{"fixed-1000x200ms", simulate.Fixed{Size: 1000, Timeout: 200 * time.Millisecond, Concurrency: 4}.Config()},
}

const (
	// apart is the ratio from which on two configurations are said to differ: the simulator's noise and the machine's are below it.
	apart = 1.25
	// clearly is the ratio in the simulator from which on the order must be measured, too.
	clearly = 1.5
)

type latency struct {
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

func (l latency) of(quantile string) time.Duration {
	if quantile == "p99" {
		return l.P99
	}
	return l.P50
}

// report is what is needed of the testbed's report.
type report struct {
	Cases []struct {
		ID         string `json:"id"`
		Contenders []struct {
			Name   string `json:"name"`
			Rounds []struct {
				Latency latency `json:"latency"`
			} `json:"rounds"`
		} `json:"contenders"`
	} `json:"cases"`
}

// latency returns the median of the rounds.
func (r *report) latency(scenario, contender, quantile string) (time.Duration, bool) {
	for _, c := range r.Cases {
		if c.ID != scenario {
			continue
		}
		for _, one := range c.Contenders {
			if one.Name != contender || len(one.Rounds) == 0 {
				continue
			}
			var all []time.Duration
			for _, round := range one.Rounds {
				all = append(all, round.Latency.of(quantile))
			}
			slices.Sort(all)
			return all[len(all)/2], true
		}
	}
	return 0, false
}

func main() {
	quantile := flag.String("quantile", "p50", "what is compared: p50 or p99")
	flag.Parse()
	if flag.NArg() != 1 || *quantile != "p50" && *quantile != "p99" {
		fmt.Fprintln(os.Stderr, "usage: pairs [-quantile p50|p99] REPORT.json")
		os.Exit(2)
	}
	if err := compare(flag.Arg(0), *quantile, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pairs:", err)
		os.Exit(1)
	}
}

// errRank is returned where the two do not agree.
var errRank = errors.New("simulator and testbed do not rank the configurations of every pair the same")

func compare(file, quantile string, w io.Writer) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var measured report
	if err := json.Unmarshal(content, &measured); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	table, rule := "| Load, backend |", "| --- |"
	for _, c := range contenders {
		table += " " + c.name + " |"
		rule += " ---: |"
	}
	table += " Same rank |\n" + rule + " --- |\n"
	agree := true
	for _, one := range cases {
		pair := find(one.load, one.backend)
		table += "| " + pair.Name() + " |"
		var simulated, real []time.Duration
		for _, c := range contenders {
			took, ok := measured.latency(one.scenario, c.name, quantile)
			if !ok {
				return fmt.Errorf("%s: no measurement of %s with %s", file, one.scenario, c.name)
			}
			r := simulate.Run(pair, c.cfg, simulate.Options{Seed: simulate.Seed})
			expected := latency{r.P50, r.P99}.of(quantile)
			simulated, real = append(simulated, expected), append(real, took)
			table += fmt.Sprintf(" %s / %s |", rounded(expected), rounded(took))
		}
		same := sameRank(simulated, real)
		agree = agree && same
		table += map[bool]string{true: " yes |\n", false: " no |\n"}[same]
	}
	if _, err := io.WriteString(w, table); err != nil {
		return err
	}
	if !agree {
		return errRank
	}
	return nil
}

// sameRank reports whether every two configurations that clearly differ in the simulator are measured in that order, and none
// that are apart are measured apart the other way round.
func sameRank(simulated, measured []time.Duration) bool {
	for i := range simulated {
		for j := range simulated {
			ratio, real := float64(simulated[i])/float64(simulated[j]), float64(measured[i])/float64(measured[j])
			if ratio > clearly && real <= 1 || ratio > apart && real < 1/apart {
				return false
			}
		}
	}
	return true
}

func find(load, backend string) simulate.Pair {
	for _, p := range simulate.Pairs() {
		if p.Load.Name == load && p.Backend.Name == backend {
			return p
		}
	}
	panic("no pair " + load + ", " + backend)
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
