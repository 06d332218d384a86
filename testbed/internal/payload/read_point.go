package payload

import (
	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// eachPointOf puts the points of metric one by one into slot, the only metric of single, and reports each.
func eachPointOf(metric, slot pmetric.Metric, single pmetric.Metrics, item func(Item)) error {
	slot.SetName(metric.Name())
	slot.SetDescription(metric.Description())
	slot.SetUnit(metric.Unit())
	marshaler := new(pmetric.ProtoMarshaler)
	var failed error
	report := func(at pcommon.Timestamp) {
		encoded, err := marshaler.MarshalMetrics(single)
		if err != nil {
			failed = err
			return
		}
		item(Item{Number: numberOfTime(uint64(at)), Checksum: xxhash.Sum64(encoded), TraceKept: true})
	}
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		to := slot.SetEmptyGauge().DataPoints().AppendEmpty()
		for _, dp := range metric.Gauge().DataPoints().All() {
			dp.CopyTo(to)
			to.SetTimestamp(0)
			report(dp.Timestamp())
		}
	case pmetric.MetricTypeSum:
		sum := slot.SetEmptySum()
		sum.SetIsMonotonic(metric.Sum().IsMonotonic())
		sum.SetAggregationTemporality(metric.Sum().AggregationTemporality())
		to := sum.DataPoints().AppendEmpty()
		for _, dp := range metric.Sum().DataPoints().All() {
			dp.CopyTo(to)
			to.SetTimestamp(0)
			report(dp.Timestamp())
		}
	case pmetric.MetricTypeHistogram:
		histogram := slot.SetEmptyHistogram()
		histogram.SetAggregationTemporality(metric.Histogram().AggregationTemporality())
		to := histogram.DataPoints().AppendEmpty()
		for _, dp := range metric.Histogram().DataPoints().All() {
			dp.CopyTo(to)
			to.SetTimestamp(0)
			report(dp.Timestamp())
		}
	case pmetric.MetricTypeExponentialHistogram:
		histogram := slot.SetEmptyExponentialHistogram()
		histogram.SetAggregationTemporality(metric.ExponentialHistogram().AggregationTemporality())
		to := histogram.DataPoints().AppendEmpty()
		for _, dp := range metric.ExponentialHistogram().DataPoints().All() {
			dp.CopyTo(to)
			to.SetTimestamp(0)
			report(dp.Timestamp())
		}
	default: // No summary is generated, so one that arrives is no item of ours.
		item(Item{Number: Unknown, TraceKept: true})
	}
	return failed
}
