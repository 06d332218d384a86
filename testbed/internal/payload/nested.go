package payload

import (
	"math/rand/v2"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// What follows is in requests of a nested set only: it is there to be kept, and the bytes of an item are those of the others.

func nestValues(attrs pcommon.Map, rng *rand.Rand) {
	user := attrs.PutEmptyMap("user")
	user.PutInt("id", rng.Int64N(50_000))
	roles := user.PutEmptySlice("roles")
	roles.AppendEmpty().SetStr("buyer")
	roles.AppendEmpty().SetDouble(rng.Float64())
	attrs.PutEmptyBytes("token").Append(byte(rng.IntN(256)), 0)
}

func nestSpan(s ptrace.Span, rng *rand.Rand) {
	nestValues(s.Attributes(), rng)
	s.TraceState().FromRaw("shop=1")
	s.Status().SetCode(ptrace.StatusCodeError)
	s.Status().SetMessage("out of stock")
	event := s.Events().AppendEmpty()
	event.SetName("exception")
	event.SetTimestamp(s.StartTimestamp() + 1)
	event.Attributes().PutInt("order", rng.Int64N(50_000))
	link := s.Links().AppendEmpty()
	link.SetTraceID(randomTraceID(rng))
	link.SetSpanID(randomSpanID(rng))
	link.Attributes().PutInt("attempt", rng.Int64N(5))
}

func randomTraceID(rng *rand.Rand) (id pcommon.TraceID) {
	for i := range id {
		id[i] = byte(rng.IntN(256))
	}
	return id
}

func randomSpanID(rng *rand.Rand) (id pcommon.SpanID) {
	for i := range id {
		id[i] = byte(rng.IntN(256))
	}
	return id
}

// nestMetric gives every point an exemplar, and histograms what is optional.
func nestMetric(m pmetric.Metric, rng *rand.Rand) {
	m.SetDescription("what the shop's dashboards show")
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, dp := range m.Gauge().DataPoints().All() {
			nestPoint(dp.Attributes(), dp.Exemplars(), rng)
		}
	case pmetric.MetricTypeSum:
		for _, dp := range m.Sum().DataPoints().All() {
			nestPoint(dp.Attributes(), dp.Exemplars(), rng)
		}
	case pmetric.MetricTypeHistogram:
		for _, dp := range m.Histogram().DataPoints().All() {
			dp.SetMin(0.001)
			dp.SetMax(60)
			nestPoint(dp.Attributes(), dp.Exemplars(), rng)
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, dp := range m.ExponentialHistogram().DataPoints().All() {
			dp.Negative().SetOffset(3)
			dp.Negative().BucketCounts().FromRaw(counts(5, rng))
			dp.SetZeroCount(rng.Uint64N(9))
			dp.SetZeroThreshold(0.001)
			nestPoint(dp.Attributes(), dp.Exemplars(), rng)
		}
	}
}

func nestPoint(attrs pcommon.Map, exemplars pmetric.ExemplarSlice, rng *rand.Rand) {
	nestValues(attrs, rng)
	e := exemplars.AppendEmpty()
	e.SetTimestamp(timeBase)
	e.SetDoubleValue(rng.Float64())
	e.SetTraceID(randomTraceID(rng))
	e.SetSpanID(randomSpanID(rng))
	e.FilteredAttributes().PutInt("order", rng.Int64N(50_000))
}
