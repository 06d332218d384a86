package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// frames cuts data into buffers of n bytes.
func frames(data []byte, n int) mem.BufferSlice {
	var s mem.BufferSlice
	for len(data) > n && n > 0 {
		s = append(s, mem.SliceBuffer(data[:n]))
		data = data[n:]
	}
	return append(s, mem.SliceBuffer(data))
}

// decoded is what pdata makes of a request, for any signal.
type decoded struct {
	traces  ptrace.Traces
	metrics pmetric.Metrics
	logs    plog.Logs
	signal  Signal
}

func decode(r *Request) (decoded, error) {
	d := decoded{signal: r.Signal()}
	var err error
	switch r.Signal() {
	case Traces:
		d.traces, err = r.Traces()
	case Metrics:
		d.metrics, err = r.Metrics()
	case Logs:
		d.logs, err = r.Logs()
	}
	return d, err
}

func (d decoded) items() int {
	switch d.signal {
	case Traces:
		return d.traces.SpanCount()
	case Metrics:
		return d.metrics.DataPointCount()
	default:
		return d.logs.LogRecordCount()
	}
}

// contents counts each item with everything around it, as one encoded request of its own.
func (d decoded) contents() map[string]int {
	set := map[string]int{}
	switch d.signal {
	case Traces:
		addTraces(set, d.traces)
	case Metrics:
		addMetrics(set, d.metrics)
	case Logs:
		addLogs(set, d.logs)
	}
	return set
}

func addTraces(set map[string]int, td ptrace.Traces) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				one := ptrace.NewTraces()
				r := one.ResourceSpans().AppendEmpty()
				rs.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rs.SchemaUrl())
				sc := r.ScopeSpans().AppendEmpty()
				ss.Scope().CopyTo(sc.Scope())
				sc.SetSchemaUrl(ss.SchemaUrl())
				span.CopyTo(sc.Spans().AppendEmpty())
				b, _ := (&ptrace.ProtoMarshaler{}).MarshalTraces(one)
				set[string(b)]++
			}
		}
	}
}

func addLogs(set map[string]int, ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				one := plog.NewLogs()
				r := one.ResourceLogs().AppendEmpty()
				rl.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rl.SchemaUrl())
				sc := r.ScopeLogs().AppendEmpty()
				sl.Scope().CopyTo(sc.Scope())
				sc.SetSchemaUrl(sl.SchemaUrl())
				record.CopyTo(sc.LogRecords().AppendEmpty())
				b, _ := (&plog.ProtoMarshaler{}).MarshalLogs(one)
				set[string(b)]++
			}
		}
	}
}

func addMetrics(set map[string]int, md pmetric.Metrics) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				for i := range points(m) {
					one := pmetric.NewMetrics()
					r := one.ResourceMetrics().AppendEmpty()
					rm.Resource().CopyTo(r.Resource())
					r.SetSchemaUrl(rm.SchemaUrl())
					sc := r.ScopeMetrics().AppendEmpty()
					sm.Scope().CopyTo(sc.Scope())
					sc.SetSchemaUrl(sm.SchemaUrl())
					c := sc.Metrics().AppendEmpty()
					m.CopyTo(c)
					keepPoint(c, i)
					b, _ := (&pmetric.ProtoMarshaler{}).MarshalMetrics(one)
					set[string(b)]++
				}
			}
		}
	}
}

func points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

// keepPoint removes all points but the i-th.
func keepPoint(m pmetric.Metric, i int) {
	n := -1
	other := func() bool { n++; return n != i }
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return other() })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return other() })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(pmetric.HistogramDataPoint) bool { return other() })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return other() })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(pmetric.SummaryDataPoint) bool { return other() })
	}
}

// unmarshal is pdata's verdict on data.
func unmarshal(signal Signal, data []byte) (decoded, error) {
	return decode(&Request{signal: signal, buffers: mem.BufferSlice{mem.SliceBuffer(data)}, bytes: len(data)})
}

func mustCheck(t testing.TB, signal Signal, data mem.BufferSlice) *Request {
	t.Helper()
	r, err := Check(signal, data)
	require.NoError(t, err)
	return r
}

// conformant reports whether Protobuf's own parser takes data for the message, and so whatever follows it for what it is.
func conformant(data []byte, m message) bool {
	for len(data) > 0 {
		number, t, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		if n = protowire.ConsumeFieldValue(number, t, data); n < 0 {
			return false
		}
		f, known := fieldOf(m, int32(number))
		if body, _ := protowire.ConsumeBytes(data[:n]); known && t == protowire.BytesType {
			switch f.kind {
			case kindMessage:
				if !conformant(body, f.message) {
					return false
				}
			case kindPackedVarint:
				for len(body) > 0 {
					_, step := protowire.ConsumeVarint(body)
					if step < 0 {
						return false
					}
					body = body[step:]
				}
			}
		}
		data = data[n:]
	}
	return true
}
