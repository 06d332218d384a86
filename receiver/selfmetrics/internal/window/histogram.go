package window

import (
	"math"
	"slices"
	"sort"
)

// Buckets are observations per second by upper bound, from any number of histograms. The zero value holds none.
type Buckets struct {
	rates map[float64]float64 // cumulative: observations per second at or below the bound
}

// Histogram takes the cumulative counts of a classic histogram in this scrape and adds what was observed since the last
// one to the Buckets. The bounds ascend and end with +Inf; counts[i] is the number of observations at or below bounds[i].
// It returns false, and adds nothing, where there is no increase to speak of: see Window. Values that a histogram cannot
// have (not a number, counts that descend) count as a gap; so does the first scrape after its bounds have changed.
func (w *Window) Histogram(key []byte, bounds, counts []float64, into *Buckets) bool {
	if !valid(bounds, counts) {
		return false
	}
	s, since := w.lookup(key)
	if s == nil {
		return false
	}
	before := s.counts
	changed := before != nil && !slices.Equal(s.bounds, bounds)
	if changed || isReset(before, counts) {
		before = nil
	}
	if changed || s.bounds == nil {
		s.bounds = slices.Clone(bounds)
		s.counts = make([]float64, len(counts))
	}
	added := false
	for i, bound := range bounds {
		increase := counts[i]
		if before != nil {
			increase -= before[i]
		}
		if rate, ok := perSecondOf(increase, w.now, since); ok && !changed {
			into.add(bound, rate)
			added = true
		}
	}
	copy(s.counts, counts)
	return added
}

// valid holds what the text format promises of a classic histogram. A NaN fails the comparisons.
func valid(bounds, counts []float64) bool {
	if len(bounds) == 0 || len(bounds) != len(counts) || !math.IsInf(bounds[len(bounds)-1], 1) {
		return false
	}
	last := counts[len(counts)-1]
	if math.IsInf(last, 0) || !(counts[0] >= 0) {
		return false
	}
	for i := 1; i < len(bounds); i++ {
		if !(bounds[i] > bounds[i-1]) || !(counts[i] >= counts[i-1]) {
			return false
		}
	}
	return true
}

// isReset reports whether any bucket lost observations: then the whole histogram restarted.
func isReset(before, now []float64) bool {
	for i, count := range before {
		if i >= len(now) || now[i] < count {
			return true
		}
	}
	return false
}

func (b *Buckets) add(bound, rate float64) {
	if b.rates == nil {
		b.rates = make(map[float64]float64)
	}
	b.rates[bound] += rate
}

// Merge adds the observations of other Buckets.
func (b *Buckets) Merge(other *Buckets) {
	for bound, rate := range other.rates {
		b.add(bound, rate)
	}
}

// Rate returns the observations per second.
func (b *Buckets) Rate() float64 { return b.rates[math.Inf(1)] }

// Quantiles estimates quantiles (each between 0 and 1) as PromQL's histogram_quantile does: it takes the observations to be
// spread evenly over their bucket, the lowest bucket to begin at zero unless its bound is not positive, and answers with
// the highest finite bound where the quantile lies above it. It returns nil when nothing was observed, or nothing finite
// can be said. See https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile.
func (b *Buckets) Quantiles(qs ...float64) []float64 {
	if b.Rate() <= 0 || len(b.rates) < 2 {
		return nil
	}
	bounds := make([]float64, 0, len(b.rates))
	for bound := range b.rates {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	rates := make([]float64, len(bounds))
	highest := 0.0
	for i, bound := range bounds {
		// Histograms with different bounds, added up, need not ascend any more.
		highest = max(highest, b.rates[bound])
		rates[i] = highest
	}
	values := make([]float64, len(qs))
	for i, q := range qs {
		values[i] = quantile(q, bounds, rates)
	}
	return values
}

func quantile(q float64, bounds, rates []float64) float64 {
	rank := q * rates[len(rates)-1]
	i := sort.Search(len(rates)-1, func(i int) bool { return rates[i] >= rank })
	if i == len(rates)-1 {
		return bounds[len(bounds)-2]
	}
	if i == 0 && bounds[0] <= 0 {
		return bounds[0]
	}
	lower, below := 0.0, 0.0
	if i > 0 {
		lower, below = bounds[i-1], rates[i-1]
	}
	within := rates[i] - below
	if within <= 0 {
		return bounds[i] // the quantile 0 of an empty first bucket
	}
	return lower + (bounds[i]-lower)*(rank-below)/within
}
