package result

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// curvePercentiles are the points of a distribution that plots show: denser towards the end, where it matters.
var curvePercentiles = []float64{0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 100}

// NewLatency summarizes a histogram of microseconds.
func NewLatency(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percentile float64) time.Duration {
		return time.Duration(h.ValueAtPercentile(percentile)) * time.Microsecond
	}
	l := Latency{
		Requests: h.TotalCount(),
		Mean:     time.Duration(h.Mean() * float64(time.Microsecond)),
		StdDev:   time.Duration(h.StdDev() * float64(time.Microsecond)),
		P50:      at(50), P95: at(95), P99: at(99),
		Max:      time.Duration(h.Max()) * time.Microsecond,
		Outliers: outliers(h),
	}
	for _, percentile := range curvePercentiles {
		if percentile == 0 { // which the library takes for nothing at all
			l.Curve = append(l.Curve, Quantile{Value: time.Duration(h.Min()) * time.Microsecond})
			continue
		}
		l.Curve = append(l.Curve, Quantile{Percentile: percentile, Value: at(percentile)})
	}
	return l
}

func outliers(h *hdrhistogram.Histogram) float64 {
	lower, upper := h.ValueAtPercentile(25), h.ValueAtPercentile(75)
	fence := upper + (upper-lower)*3/2
	var beyond int64
	for _, bar := range h.Distribution() {
		if bar.From > fence {
			beyond += bar.Count
		}
	}
	return float64(beyond) / float64(h.TotalCount())
}
