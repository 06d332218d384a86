// Command regret prints, for every load and backend, the P99 of the adaptive processor with its defaults as a multiple of
// the best fixed configuration's, and beside it the same of the fixed configurations that are best most often.
package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/simulate"
)

func main() {
	if err := regret(); err != nil {
		fmt.Fprintln(os.Stderr, "regret:", err)
		os.Exit(1)
	}
}

// otherSeeds show what the best fixed configurations owe to the calls they were chosen on.
var otherSeeds = []uint64{2, 3, 4}

// fewDraws are the loads of which so few requests fall into the failures that one run says little.
var fewDraws = []string{"trickle", "low", "step", "bursts"}

// compared is the number of fixed configurations beside the adaptive one.
const compared = 4

func regret() error {
	adaptive, err := simulate.Regrets(simulate.Adaptive(), simulate.Seed)
	if err != nil {
		return err
	}
	if err := simulate.WriteTable(os.Stdout, adaptive); err != nil {
		return err
	}
	fmt.Printf("\nAbove %g:\n\n", simulate.NearRatio)
	if err := simulate.WriteMisses(os.Stdout, adaptive); err != nil {
		return err
	}
	fmt.Printf("\n| Configuration | Pairs | up to %g | above %g | throughput below %g | load not carried | Median | Worst | Items a request, median |\n", simulate.NearRatio, float64(simulate.FarRatio), simulate.SameThroughput)
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	summary("adaptive, defaults", adaptive)
	for _, seed := range otherSeeds {
		again, err := simulate.Regrets(simulate.Adaptive(), seed)
		if err != nil {
			return err
		}
		summary(fmt.Sprintf("the same, other chance (%d)", seed), again)
	}
	for _, f := range simulate.OftenBest(adaptive, compared) {
		fixed, err := simulate.Regrets(f.Config(), simulate.Seed)
		if err != nil {
			return err
		}
		summary("fixed "+f.String(), fixed)
	}
	return chance()
}

// chance prints what remains of the regret on the backend that refuses half of the requests, when one run does not decide.
func chance() error {
	header, rule := "\n| Load |", "| --- |"
	for _, n := range simulate.PooledRuns {
		header += fmt.Sprintf(" runs: %d |", n)
		rule += " ---: |"
	}
	fmt.Printf("%s Best fixed of the last | Its P99 over %d others | Adaptive | Ratio |\n%s --- | ---: | ---: | ---: |\n", header, simulate.JudgedOver, rule)
	for _, p := range simulate.Pairs() {
		if p.Backend.Name != "failing" || !slices.Contains(fewDraws, p.Load.Name) {
			continue
		}
		c := simulate.WithoutChance(p)
		row := "| " + p.Load.Name + " |"
		for _, ratio := range c.Ratios {
			row += fmt.Sprintf(" %.2f |", ratio)
		}
		fmt.Printf("%s %s | %s | %s | %.2f |\n", row, c.Best, c.Fixed.Round(time.Millisecond), c.Adaptive.Round(time.Millisecond),
			float64(c.Adaptive)/float64(c.Fixed))
	}
	return nil
}

func summary(name string, all []simulate.Regret) {
	s := simulate.Summarize(all)
	fmt.Printf("| %s | %d | %d | %d | %d | %d | %.2f | %.2f | %.0f |\n", name, s.Pairs, s.Near, s.Far, s.Fewer, s.NotCarried, s.Median, s.Worst, s.ItemsPerRequest)
}
