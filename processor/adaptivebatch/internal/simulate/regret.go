package simulate

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// Regret is what not knowing a pair's best fixed configuration costs.
type Regret struct {
	Pair   Pair
	Best   Best
	Result Result
}

// Ratio is the result's P99 as a multiple of the best fixed one's.
func (r Regret) Ratio() float64 { return float64(r.Result.P99) / float64(max(1, r.Best.Result.P99)) }

// Throughput is the number of calls answered as a multiple of the best fixed one's; where clients do not wait, that is up to them.
func (r Regret) Throughput() float64 {
	return float64(r.Result.Answered) / float64(max(1, r.Best.Result.Answered))
}

// Regrets runs a configuration on every pair that some fixed configuration carries, as many at once as there are processors,
// in the order of Pairs. With another seed than that of the sweep, the best fixed configurations are those of the sweep nevertheless, and
// run with that seed, too: what they owed to chance they lose.
func Regrets(cfg controller.Config, seed uint64) ([]Regret, error) {
	kept, err := KeptBest()
	if err != nil {
		return nil, err
	}
	var all []Regret
	for _, p := range Pairs() {
		if best, ok := kept[p.Name()]; ok {
			all = append(all, Regret{Pair: p, Best: best})
		}
	}
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range all {
		free <- struct{}{}
		wg.Go(func() {
			all[i].Result = Run(all[i].Pair, cfg, Options{Seed: seed})
			if seed != Seed {
				all[i].Best.Result = Run(all[i].Pair, all[i].Best.Fixed.Config(), Options{Seed: seed})
			}
			<-free
		})
	}
	wg.Wait()
	return all, nil
}

// Summary counts the pairs of a table.
type Summary struct {
	Pairs int
	// Near are those within 1.25 times the best, Far those above 2 times, NotCarried those whose load was not carried at all;
	// the last are in neither.
	Near, Far, NotCarried int
	// Fewer are those that answered fewer calls than SameThroughput of the best.
	Fewer int
	// Median and Worst are of the ratios of what was carried.
	Median, Worst float64
	// ItemsPerRequest is the median over the pairs of the batches' mean size: what the latency is paid with.
	ItemsPerRequest float64
}

// The goals: near the best on most pairs, and never far from it.
const (
	NearRatio = 1.25
	FarRatio  = 2
	// SameThroughput is what of the best fixed configuration's throughput counts as the same.
	SameThroughput = 0.95
)

// Summarize counts.
func Summarize(all []Regret) Summary {
	s := Summary{Pairs: len(all)}
	var ratios, sizes []float64
	for _, r := range all {
		sizes = append(sizes, float64(r.Result.Items)/float64(max(1, r.Result.Requests)))
		if !r.Result.Carried() {
			s.NotCarried++
			continue
		}
		ratios = append(ratios, r.Ratio())
		if r.Throughput() < SameThroughput {
			s.Fewer++
		}
		if r.Ratio() <= NearRatio {
			s.Near++
		} else if r.Ratio() > FarRatio {
			s.Far++
		}
	}
	slices.Sort(sizes)
	s.ItemsPerRequest = sizes[len(sizes)/2]
	if slices.Sort(ratios); len(ratios) > 0 {
		s.Median, s.Worst = ratios[len(ratios)/2], ratios[len(ratios)-1]
	}
	return s
}

// OftenBest returns the n fixed configurations that are the best on the most pairs.
func OftenBest(all []Regret, n int) []Fixed {
	wins := map[Fixed]int{}
	for _, r := range all {
		wins[r.Best.Fixed]++
	}
	order := FixedConfigs()
	slices.SortStableFunc(order, func(a, b Fixed) int { return wins[b] - wins[a] })
	return order[:n]
}

// WriteTable writes the table in Markdown: loads down, backends across, each cell a ratio.
func WriteTable(w io.Writer, all []Regret) error {
	cells := map[string]Regret{}
	for _, r := range all {
		cells[r.Pair.Name()] = r
	}
	out := "| P99 / best fixed P99 |"
	rule := "| --- |"
	for _, b := range Backends {
		out += " " + b.Name + " |"
		rule += " ---: |"
	}
	out += "\n" + rule + "\n"
	for l := range Loads {
		out += "| " + Loads[l].Name + " |"
		for b := range Backends {
			r, ok := cells[Pair{&Loads[l], &Backends[b]}.Name()]
			switch {
			case !ok:
				out += " - |"
			case !r.Result.Carried():
				out += " not carried |"
			default:
				out += fmt.Sprintf(" %.2f |", r.Ratio())
			}
		}
		out += "\n"
	}
	_, err := io.WriteString(w, out)
	return err
}

// WriteMisses writes, in Markdown, the pairs above NearRatio.
func WriteMisses(w io.Writer, all []Regret) error {
	out := "| Load, backend | P99 | Best fixed | Its P99 | Ratio |\n| --- | ---: | --- | ---: | ---: |\n"
	for _, r := range all {
		if r.Ratio() > NearRatio || !r.Result.Carried() {
			out += fmt.Sprintf("| %s | %s | %s | %s | %.2f |\n", r.Pair.Name(), rounded(r.Result.P99), r.Best.Fixed,
				rounded(r.Best.Result.P99), r.Ratio())
		}
	}
	_, err := io.WriteString(w, out)
	return err
}

func rounded(d time.Duration) time.Duration {
	if d < 100*us {
		return d.Round(us)
	}
	return d.Round(100 * us)
}
