// Command regret prints, for every load and backend, the P99 of the adaptive processor with its defaults as a multiple of
// the best fixed configuration's, and beside it the same of the fixed configurations that are best most often.
package main

import (
	"fmt"
	"os"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/simulate"
)

func main() {
	if err := regret(); err != nil {
		fmt.Fprintln(os.Stderr, "regret:", err)
		os.Exit(1)
	}
}

// compared is the number of fixed configurations beside the adaptive one.
const compared = 4

func regret() error {
	adaptive, err := simulate.Regrets(simulate.Adaptive())
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
	fmt.Printf("\n| Configuration | Pairs | up to %g | above %g | load not carried | Median | Worst | Items a request, median |\n", simulate.NearRatio, float64(simulate.FarRatio))
	fmt.Println("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	summary("adaptive, defaults", adaptive)
	for _, f := range simulate.OftenBest(adaptive, compared) {
		fixed, err := simulate.Regrets(f.Config())
		if err != nil {
			return err
		}
		summary("fixed "+f.String(), fixed)
	}
	return nil
}

func summary(name string, all []simulate.Regret) {
	s := simulate.Summarize(all)
	fmt.Printf("| %s | %d | %d | %d | %d | %.2f | %.2f | %.0f |\n", name, s.Pairs, s.Near, s.Far, s.NotCarried, s.Median, s.Worst, s.ItemsPerRequest)
}
