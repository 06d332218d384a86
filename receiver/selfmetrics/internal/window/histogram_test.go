package window

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

var inf = math.Inf(1)

// observe feeds scrapes of one histogram, 10 s apart, and returns what the last one observed.
func observe(bounds []float64, scrapes ...[]float64) (*Buckets, bool) {
	w := New(10)
	var last Buckets
	added := false
	for i, counts := range scrapes {
		last = Buckets{}
		w.Begin(start.Add(time.Duration(i)*10*time.Second), "")
		added = w.Histogram([]byte("h"), bounds, counts, &last)
		w.End()
	}
	return &last, added
}

func TestHistogramTellsWhatHappenedSinceTheLastScrape(t *testing.T) {
	bounds := []float64{0.1, 1, inf}
	_, added := observe(bounds, []float64{10, 20, 30})
	assert.False(t, added, "at the first scrape it is not known how long it has been counting")

	b, added := observe(bounds, []float64{10, 20, 30}, []float64{10, 120, 130})
	assert.True(t, added)
	assert.InDelta(t, 10, b.Rate(), 1e-9)
	assert.InDelta(t, 0.55, b.Quantiles(0.5)[0], 1e-9, "all 100 new ones are between 0.1 and 1")

	b, _ = observe(bounds, []float64{10, 20, 30}, []float64{0, 50, 50})
	assert.InDelta(t, 5, b.Rate(), 1e-9, "after a reset all of it is new")

	b, added = observe(bounds, []float64{10, 20, 30}, []float64{10, 20, 30})
	assert.True(t, added)
	assert.Nil(t, b.Quantiles(0.5), "nothing happened")
}

func TestHistogramIgnoresWhatItCannotBe(t *testing.T) {
	for name, h := range map[string]struct{ bounds, counts []float64 }{
		"no buckets":                {nil, nil},
		"no last bucket":            {[]float64{1, 2}, []float64{1, 2}},
		"descending counts":         {[]float64{1, inf}, []float64{2, 1}},
		"descending bounds":         {[]float64{2, 1, inf}, []float64{1, 2, 3}},
		"a bound that is no number": {[]float64{math.NaN(), inf}, []float64{1, 2}},
		"a count that is no number": {[]float64{1, inf}, []float64{1, math.NaN()}},
		"first not a number":        {[]float64{1, inf}, []float64{math.NaN(), 1}},
		"negative":                  {[]float64{1, inf}, []float64{-1, 1}},
		"infinite":                  {[]float64{1, inf}, []float64{1, inf}},
		"of another length":         {[]float64{1, inf}, []float64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			_, added := observe(h.bounds, []float64{0}, h.counts)
			assert.False(t, added)
		})
	}
}

func TestHistogramIsBounded(t *testing.T) {
	w := New(1)
	var b Buckets
	w.Begin(start, "")
	w.Histogram([]byte("a"), []float64{1, inf}, []float64{0, 0}, &b)
	assert.False(t, w.Histogram([]byte("b"), []float64{1, inf}, []float64{0, 0}, &b))
	_, refused := w.Len()
	assert.Equal(t, 1, refused)
}

func TestHistogramWithOtherBoundsBeginsAnew(t *testing.T) {
	w := New(10)
	scrape := func(at int, bounds, counts []float64) (b Buckets, added bool) {
		w.Begin(start.Add(time.Duration(at)*time.Second), "")
		added = w.Histogram([]byte("h"), bounds, counts, &b)
		w.End()
		return b, added
	}
	scrape(0, []float64{1, inf}, []float64{5, 10})
	_, added := scrape(1, []float64{1, 2, inf}, []float64{5, 6, 20})
	assert.False(t, added)
	b, added := scrape(2, []float64{1, 2, inf}, []float64{5, 6, 26})
	assert.True(t, added)
	assert.InDelta(t, 6, b.Rate(), 1e-9)
}

func TestQuantilesAreThoseOfHistogramQuantile(t *testing.T) {
	for name, tt := range map[string]struct {
		bounds, counts []float64
		q, want        float64
	}{
		"within a bucket":             {[]float64{1, 2, 4, inf}, []float64{0, 100, 100, 100}, 0.5, 1.5},
		"from zero in the lowest one": {[]float64{1, 2, inf}, []float64{100, 100, 100}, 0.25, 0.25},
		"above the last bound":        {[]float64{1, 2, inf}, []float64{0, 0, 10}, 0.5, 2},
		"at a border":                 {[]float64{1, 2, inf}, []float64{50, 100, 100}, 0.5, 1},
		"of a lowest bound of zero":   {[]float64{0, 2, inf}, []float64{60, 100, 100}, 0.5, 0},
		"zero of an empty bucket":     {[]float64{1, 2, inf}, []float64{0, 100, 100}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			zero := make([]float64, len(tt.counts))
			b, _ := observe(tt.bounds, zero, tt.counts)
			assert.InDelta(t, tt.want, b.Quantiles(tt.q)[0], 1e-9)
		})
	}
	b, _ := observe([]float64{inf}, []float64{0}, []float64{5})
	assert.Nil(t, b.Quantiles(0.5), "one bucket without a bound says nothing")
}

func TestBucketsOfDifferentBoundsAddUp(t *testing.T) {
	one, _ := observe([]float64{1, inf}, []float64{0, 0}, []float64{100, 100})
	other, _ := observe([]float64{2, inf}, []float64{0, 0}, []float64{10, 10})
	one.Merge(other)
	assert.InDelta(t, 11, one.Rate(), 1e-9)
	assert.InDelta(t, 0.55, one.Quantiles(0.5)[0], 1e-9)
	assert.LessOrEqual(t, one.Quantiles(0.99)[0], 2.0)
}
