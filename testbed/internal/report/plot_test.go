package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		low, high   float64
		logarithmic bool
		labels      string
	}{
		{0, 2, false, "[0 0.5 1 1.5 2]"},
		{-0.0001, 1.9, false, "[0 0.5 1 1.5]"}, // not -0
		{-4, 4, false, "[-4 -2 0 2 4]"},
		{30, 1000, false, "[200 400 600 800 1000]"},
		{1, 1000, true, "[1 10 100 1000]"},
	} {
		assert.Equal(t, c.labels, fmt.Sprint(yTicks(c.low, c.high, c.logarithmic)), "%g to %g", c.low, c.high)
	}
}

func TestALongCourseIsShownByMeans(t *testing.T) {
	value := func(s *result.Sample) float64 { return s.Received }
	var series []result.Sample
	for i := range 10 * maxPoints {
		series = append(series, result.Sample{At: time.Duration(i) * time.Second, Received: float64(i % 10)})
	}
	points := course(series, value)
	assert.Len(t, points, maxPoints)
	assert.Equal(t, xy{5, 4.5}, points[0])
	assert.Equal(t, []xy{{0, 0}, {1, 1}, {2, 2}}, course(series[:3], value))
}

func TestAContenderHasOneColorInAllCases(t *testing.T) {
	named := func(names ...string) (c result.Case) {
		for _, name := range names {
			c.Contenders = append(c.Contenders, result.Contender{Name: name})
		}
		return c
	}
	p := newPalette(&result.Report{Cases: []result.Case{named("a", "b", "c"), named("a", "c", "d", "e", "f", "g", "h")}})
	assert.Equal(t, palette{"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5, "g": 6, "h": 0}, p)
}
