// Package sourcetest shows tests of sources what a reading becomes in a pipeline.
package sourcetest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
)

// Values returns every data point that the reading writes, by metric and attributes: "name{key=value,...}", keys sorted.
func Values(tb testing.TB, reading source.Reading) map[string]float64 {
	tb.Helper()
	builder := metadata.NewMetricsBuilder(metadata.NewDefaultMetricsBuilderConfig(), receivertest.NewNopSettings(metadata.Type))
	for _, record := range reading.Found {
		record(builder, pcommon.NewTimestampFromTime(time.Now()))
	}
	return ValuesOf(tb, builder.Emit())
}

// ValuesOf is Values for metrics that were emitted already.
func ValuesOf(tb testing.TB, emitted pmetric.Metrics) map[string]float64 {
	tb.Helper()
	values := make(map[string]float64)
	for _, rm := range emitted.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				for _, point := range points(metric).All() {
					key := metric.Name() + attributes(point.Attributes())
					require.NotContains(tb, values, key, "written twice")
					values[key] = point.DoubleValue()
					if point.ValueType() == pmetric.NumberDataPointValueTypeInt {
						values[key] = float64(point.IntValue())
					}
				}
			}
		}
	}
	return values
}

func points(metric pmetric.Metric) pmetric.NumberDataPointSlice {
	if metric.Type() == pmetric.MetricTypeSum {
		return metric.Sum().DataPoints()
	}
	return metric.Gauge().DataPoints()
}

func attributes(of pcommon.Map) string {
	if of.Len() == 0 {
		return ""
	}
	raw := of.AsRaw()
	pairs := make([]string, 0, len(raw))
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		pairs = append(pairs, fmt.Sprintf("%s=%v", key, raw[key]))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// CPUTime is what the process has used so far.
func CPUTime(tb testing.TB) time.Duration {
	tb.Helper()
	self, err := process.NewProcess(int32(os.Getpid())) //nolint:gosec // process IDs fit
	require.NoError(tb, err)
	times, err := self.Times()
	require.NoError(tb, err)
	return time.Duration((times.User + times.System) * float64(time.Second))
}
