package simulate

import (
	"fmt"
	"testing"
	"time"
)

func TestDevRegret(t *testing.T) {
	for _, pair := range Pairs() {
		t0 := time.Now()
		a := Run(pair, Adaptive(), Options{Seed: 1})
		t1 := time.Now()
		best := BestFixed(pair, 1)
		fmt.Printf("%-24s adaptive %8s %8s carried %v n=%d ref=%d avg %4d | best %-16s %8s carried %v avg %d| regret %.2f | %s %s\n", pair.Name(),
			a.P50.Round(10*us), a.P99.Round(10*us), a.Carried(), a.Answered, a.Refused, a.Items/max(1, a.Requests), best.Fixed, best.Result.P99.Round(10*us), best.Found, best.Result.Items/max(1, best.Result.Requests),
			float64(a.P99)/float64(max(1, best.Result.P99)), t1.Sub(t0).Round(ms), time.Since(t1).Round(ms))
	}
}
