package window

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var start = time.Unix(1_000_000, 0)

// sample is one scrape of one counter; a value of `missing` is not reported.
type sample struct {
	after    time.Duration
	instance string
	value    float64
}

const missing = -1e300

func rates(t *testing.T, samples ...sample) []float64 {
	t.Helper()
	w := New(10)
	now := start
	var got []float64
	for _, s := range samples {
		now = now.Add(s.after)
		w.Begin(now, s.instance)
		rate, ok := math.NaN(), false
		if s.value != missing {
			rate, ok = w.Rate([]byte("k"), s.value)
		}
		w.End()
		if !ok {
			rate = math.NaN()
		}
		got = append(got, rate)
	}
	return got
}

// none stands for "no rate".
var none = math.NaN()

func TestRatesOfACounter(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		samples []sample
		want    []float64
	}{
		"increase over the time between scrapes": {
			[]sample{{0, "", 100}, {10 * s, "", 150}, {5 * s, "", 160}}, []float64{none, 5, 2},
		},
		"no increase is a rate of zero": {
			[]sample{{0, "", 100}, {s, "", 100}}, []float64{none, 0},
		},
		"a reset counts from zero": {
			[]sample{{0, "", 100}, {10 * s, "", 30}}, []float64{none, 3},
		},
		"a wrapped integer is a reset": {
			[]sample{{0, "", math.MaxInt64}, {10 * s, "", 20}}, []float64{none, 2},
		},
		"a series that is new began at zero": {
			[]sample{{0, "", missing}, {10 * s, "", 50}}, []float64{none, 5},
		},
		"a gap is averaged over": {
			[]sample{{0, "", 100}, {10 * s, "", missing}, {10 * s, "", 200}}, []float64{none, none, 5},
		},
		"not a number is a gap": {
			[]sample{{0, "", 100}, {10 * s, "", math.NaN()}, {10 * s, "", 200}}, []float64{none, none, 5},
		},
		"infinite is a gap": {
			[]sample{{0, "", 100}, {10 * s, "", math.Inf(1)}, {10 * s, "", 200}}, []float64{none, none, 5},
		},
		"negative is a gap": {
			[]sample{{0, "", 100}, {10 * s, "", -5}, {10 * s, "", 200}}, []float64{none, none, 5},
		},
		"another instance began at zero although its value is larger": {
			[]sample{{0, "a", 100}, {10 * s, "b", 200}}, []float64{none, 20},
		},
		"an instance that is not told is the same one": {
			[]sample{{0, "a", 100}, {10 * s, "", 200}, {10 * s, "a", 300}}, []float64{none, 10, 10},
		},
		"no time between scrapes has no rate": {
			[]sample{{0, "", 100}, {0, "", 200}}, []float64{none, none},
		},
		"a clock that went back has no rate": {
			[]sample{{0, "", 100}, {-s, "", 200}, {2 * s, "", 300}}, []float64{none, none, 50},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := rates(t, tt.samples...)
			require.Len(t, got, len(tt.want))
			for i, want := range tt.want {
				if math.IsNaN(want) {
					assert.True(t, math.IsNaN(got[i]), "scrape %d: want no rate, got %v", i, got[i])
				} else {
					assert.InDelta(t, want, got[i], 1e-9, "scrape %d", i)
				}
			}
		})
	}
}

func TestSeriesAreBounded(t *testing.T) {
	w := New(2)
	scrape := func(at int, keys ...string) (rated int) {
		w.Begin(start.Add(time.Duration(at)*time.Second), "")
		for _, key := range keys {
			if _, ok := w.Rate([]byte(key), float64(100*at)); ok {
				rated++
			}
		}
		w.End()
		return rated
	}
	scrape(0, "a", "b", "c")
	tracked, refused := w.Len()
	assert.Equal(t, 2, tracked)
	assert.Equal(t, 1, refused)

	assert.Equal(t, 2, scrape(1, "a", "b", "c"), "those that are known go on")
	assert.Equal(t, 1, scrape(2, "a", "c"), "b makes room at the end of the scrape")
	assert.Equal(t, 1, scrape(3, "a", "c"), "c was forgotten or refused before: since when it counts is not known")
	assert.Equal(t, 2, scrape(4, "a", "c"))
}

func TestNoRateIsEverNegative(t *testing.T) {
	w := New(100)
	values := []float64{0, 5, 3, math.NaN(), 7, math.Inf(1), 1, -4, math.MaxFloat64, 2, 0}
	for i, v := range values {
		w.Begin(start.Add(time.Duration(i)*time.Second), strconv.Itoa(i/4))
		if rate, ok := w.Rate([]byte("counter"), v); ok {
			assert.GreaterOrEqual(t, rate, 0.0)
			assert.False(t, math.IsInf(rate, 0) || math.IsNaN(rate), "rate %v", rate)
		}
		w.End()
	}
}
