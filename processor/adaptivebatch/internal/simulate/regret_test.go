package simulate

import (
	"fmt"
	"testing"
	"time"
)

func TestDevRegret(t *testing.T) {
	kept, err := KeptBest()
	if err != nil {
		t.Fatal(err)
	}
	n, over, over2 := 0, 0, 0
	for _, pair := range Pairs() {
		t0 := time.Now()
		a := Run(pair, Adaptive(), Options{Seed: 1})
		t1 := time.Now()
		best := kept[pair.Name()]
		regret := float64(a.P99) / float64(max(1, best.Result.P99))
		mark := ""
		if best.Found {
			n++
			if regret > 1.25 {
				over++
				mark = "*"
			}
			if regret > 2 || !a.Carried() {
				over2++
				mark = "***"
			}
		} else {
			regret = 0
		}
		fmt.Printf("%-22s ad %8s %8s %v n=%d ref=%d avg %4d | %-16s %8s avg %d| %.2f %s | %s\n", pair.Name(),
			a.P50.Round(10*us), a.P99.Round(10*us), a.Carried(), a.Answered, a.Refused, a.Items/max(1, a.Requests), best.Fixed, best.Result.P99.Round(10*us), best.Result.Items/max(1, best.Result.Requests),
			regret, mark, t1.Sub(t0).Round(ms))
	}
	fmt.Println(n, over, over2)
}
