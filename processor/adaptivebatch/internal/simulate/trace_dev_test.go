package simulate

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestDevTrace(t *testing.T) {
	for _, p := range Pairs() {
		if p.Name() != os.Getenv("PAIR") {
			continue
		}
		r := Run(p, Adaptive(), Options{Seed: 1, TraceEvery: 500 * time.Millisecond, Trace: func(s Sample) {
			d := s.Decision
			fmt.Printf("%6s tgt %4d ceil %4d linger %6s lim %3d cap %3d inf %3d rate %7.0f p50 %9s p99 %9s %s\n", s.At, d.Target, d.Ceiling, d.Linger.Round(us), d.Limit, d.Cap, s.InFlight, s.Rate, s.P50.Round(10*us), s.P99.Round(10*us), d.Reason)
		}})
		fmt.Println(r)
	}
}
