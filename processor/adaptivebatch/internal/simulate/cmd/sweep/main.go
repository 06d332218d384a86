// Command sweep finds the best fixed configuration for every load and backend, and writes the table to a file.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/simulate"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sweep FILE")
		os.Exit(2)
	}
	if err := sweep(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "sweep:", err)
		os.Exit(1)
	}
}

func sweep(file string) error {
	pairs := simulate.Pairs()
	best := make([]simulate.Best, len(pairs))
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, p := range pairs {
		free <- struct{}{}
		wg.Go(func() {
			best[i] = simulate.BestFixed(p, simulate.Seed)
			<-free
		})
	}
	wg.Wait()
	out, err := simulate.MarshalBest(pairs, best)
	if err != nil {
		return err
	}
	return os.WriteFile(file, out, 0o644) //nolint:gosec // a table for everyone to read
}
