// Package source is what the sources of the Collector's health have in common.
package source

import (
	"context"
	"math"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
)

// Source is one place to read from. Read blocks until it is done or ctx ends, is not called again before it has returned,
// and remembers what it needs for rates.
type Source interface {
	Read(ctx context.Context) Reading
}

// Reading is what one Read found.
type Reading struct {
	// Start is since when the cumulative sums count.
	Start pcommon.Timestamp
	// Found write what was found. They are called on another goroutine than Read, before the next Read.
	Found []Finding
	// Faults are the parts that could not be read.
	Faults []Fault
}

// Finding writes something that was found.
type Finding func(mb *metadata.MetricsBuilder, now pcommon.Timestamp)

// Fault is a part of a source that could not be read.
type Fault struct {
	// Part names it in a few words that do not change from one scrape to the next: a change is worth a log line.
	Part string
	// Metrics is the number of metrics that are missing because of it.
	Metrics int
	Err     error
}

// Deadline is the part of a Fault that came because time was up, wherever it was noticed.
const Deadline = "deadline"

// Add adds a finding.
func (r *Reading) Add(f Finding) { r.Found = append(r.Found, f) }

// Check adds a fault unless err is nil or says that this operating system cannot tell, and reports whether err is nil.
func (r *Reading) Check(part string, metrics int, err error) (ok bool) {
	// gopsutil's error for what an operating system cannot tell is in an internal package.
	if err != nil && !strings.Contains(err.Error(), "not implemented yet") {
		r.Faults = append(r.Faults, Fault{Part: part, Metrics: metrics, Err: err})
	}
	return err == nil
}

// Quantiles are those reported, beside their values of the attribute `quantile`.
var (
	Quantiles      = []float64{0.5, 0.95, 0.99}
	QuantileValues = []metadata.AttributeQuantile{
		metadata.AttributeQuantile05, metadata.AttributeQuantile095, metadata.AttributeQuantile099,
	}
)

// Signed converts what kernels count unsigned to what OTLP carries; a counter would need centuries to the difference.
func Signed(v uint64) int64 { return int64(min(v, math.MaxInt64)) } //nolint:gosec // bounded
