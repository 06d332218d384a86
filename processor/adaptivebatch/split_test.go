package adaptivebatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// random makes telemetry of random shape. Every item has a number, and describe lists every item with all that stands
// around it, so that two listings are equal exactly if nothing was lost, doubled, or moved to another resource or scope.
type random struct {
	*rand.Rand
	number int64
}

func (r *random) next() int64 { r.number++; return r.number }

func (r *random) resource(to pcommon.Resource, schema func(string)) {
	to.Attributes().PutInt("resource", r.next())
	to.SetDroppedAttributesCount(uint32(r.IntN(3)))
	schema(fmt.Sprint("schema", r.IntN(3)))
}

func (r *random) scope(to pcommon.InstrumentationScope, schema func(string)) {
	to.SetName(fmt.Sprint("scope", r.next()))
	to.SetVersion("1")
	schema(fmt.Sprint("schema", r.IntN(3)))
}

func (r *random) traces() ptrace.Traces {
	td := ptrace.NewTraces()
	for range r.IntN(4) {
		rs := td.ResourceSpans().AppendEmpty()
		r.resource(rs.Resource(), rs.SetSchemaUrl)
		for range r.IntN(4) {
			ss := rs.ScopeSpans().AppendEmpty()
			r.scope(ss.Scope(), ss.SetSchemaUrl)
			for range r.IntN(8) {
				ss.Spans().AppendEmpty().SetName(fmt.Sprint(r.next()))
			}
		}
	}
	return td
}

func (r *random) logs() plog.Logs {
	ld := plog.NewLogs()
	for range r.IntN(4) {
		rl := ld.ResourceLogs().AppendEmpty()
		r.resource(rl.Resource(), rl.SetSchemaUrl)
		for range r.IntN(4) {
			sl := rl.ScopeLogs().AppendEmpty()
			r.scope(sl.Scope(), sl.SetSchemaUrl)
			for range r.IntN(8) {
				sl.LogRecords().AppendEmpty().Body().SetInt(r.next())
			}
		}
	}
	return ld
}

func (r *random) metrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	for range r.IntN(4) {
		rm := md.ResourceMetrics().AppendEmpty()
		r.resource(rm.Resource(), rm.SetSchemaUrl)
		for range r.IntN(4) {
			sm := rm.ScopeMetrics().AppendEmpty()
			r.scope(sm.Scope(), sm.SetSchemaUrl)
			for range r.IntN(6) {
				r.metric(sm.Metrics().AppendEmpty())
			}
		}
	}
	return md
}

func (r *random) metric(m pmetric.Metric) {
	m.SetName(fmt.Sprint("metric", r.next()))
	m.SetDescription("description")
	m.SetUnit("unit")
	m.Metadata().PutStr("key", "value")
	points := r.IntN(6)
	switch r.IntN(6) {
	case 0:
		for dps := m.SetEmptyGauge().DataPoints(); dps.Len() < points; {
			dps.AppendEmpty().SetIntValue(r.next())
		}
	case 1:
		m.SetEmptySum().SetIsMonotonic(true)
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		for dps := m.Sum().DataPoints(); dps.Len() < points; {
			dps.AppendEmpty().SetIntValue(r.next())
		}
	case 2:
		m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for dps := m.Histogram().DataPoints(); dps.Len() < points; {
			dps.AppendEmpty().SetCount(uint64(r.next()))
		}
	case 3:
		m.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		for dps := m.ExponentialHistogram().DataPoints(); dps.Len() < points; {
			dps.AppendEmpty().SetCount(uint64(r.next()))
		}
	case 4:
		for dps := m.SetEmptySummary().DataPoints(); dps.Len() < points; {
			dps.AppendEmpty().SetCount(uint64(r.next()))
		}
	}
}

func describeTraces(td ptrace.Traces) (items []string) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				items = append(items, fmt.Sprint(around(rs.Resource(), rs.SchemaUrl(), ss.Scope(), ss.SchemaUrl()), span.Name()))
			}
		}
	}
	return items
}

func describeLogs(ld plog.Logs) (items []string) {
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				items = append(items, fmt.Sprint(around(rl.Resource(), rl.SchemaUrl(), sl.Scope(), sl.SchemaUrl()), record.Body().AsString()))
			}
		}
	}
	return items
}

func describeMetrics(md pmetric.Metrics) (items []string) {
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			where := around(rm.Resource(), rm.SchemaUrl(), sm.Scope(), sm.SchemaUrl())
			for _, m := range sm.Metrics().All() {
				about := fmt.Sprint(where, m.Name(), m.Description(), m.Unit(), m.Metadata().AsRaw(), m.Type())
				items = append(items, describePoints(about, m)...)
			}
		}
	}
	return items
}

func describePoints(about string, m pmetric.Metric) (items []string) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		for _, p := range m.Gauge().DataPoints().All() {
			items = append(items, fmt.Sprint(about, p.IntValue()))
		}
	case pmetric.MetricTypeSum:
		for _, p := range m.Sum().DataPoints().All() {
			items = append(items, fmt.Sprint(about, m.Sum().IsMonotonic(), m.Sum().AggregationTemporality(), p.IntValue()))
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			items = append(items, fmt.Sprint(about, m.Histogram().AggregationTemporality(), p.Count()))
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			items = append(items, fmt.Sprint(about, m.ExponentialHistogram().AggregationTemporality(), p.Count()))
		}
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			items = append(items, fmt.Sprint(about, p.Count()))
		}
	}
	return items
}

func around(resource pcommon.Resource, resourceSchema string, scope pcommon.InstrumentationScope, scopeSchema string) string {
	return fmt.Sprint(resource.Attributes().AsRaw(), resource.DroppedAttributesCount(), resourceSchema, scope.Name(), scope.Version(), scopeSchema)
}

// splitAndJoin splits random telemetry, joins it in random groups, and holds every item against the original.
func splitAndJoin[T any](t *testing.T, r *random, signal *decodedSignal[T], sent *[]T, make func() T, describe func(T) []string) {
	t.Helper()
	var pieces []payload
	var want []string
	for range 1 + r.IntN(4) {
		data := make()
		want = append(want, describe(data)...)
		maxItems, maxBytes := r.IntN(12), r.IntN(600)
		whole := signal.payload(data)
		n := whole.items()
		split, err := whole.split(maxItems, maxBytes)
		require.NoError(t, err)
		for _, piece := range split {
			if maxItems > 0 {
				require.LessOrEqual(t, piece.items(), maxItems)
			}
			if maxBytes > 0 && piece.items() > 1 {
				require.LessOrEqual(t, piece.bytes(), maxBytes)
			}
			n -= piece.items()
		}
		require.Zero(t, n, "items after the split")
		pieces = append(pieces, split...)
	}
	content := pieces[0].join(pieces)
	require.NoError(t, content.send(context.Background(), 0, len(pieces)))
	require.Len(t, *sent, 1)
	assert.Equal(t, sorted(want), sorted(describe((*sent)[0])), "joined")

	var isolated []string
	for i := range pieces {
		require.NoError(t, content.send(context.Background(), i, i+1))
		isolated = append(isolated, describe((*sent)[i+1])...)
	}
	assert.Equal(t, sorted(want), sorted(isolated), "each part alone, after it was joined")
}

func sorted(items []string) []string { sort.Strings(items); return items }

func TestSplitAndJoinKeepEveryItemItsResourceAndItsScope(t *testing.T) {
	for seed := range uint64(300) {
		r := &random{Rand: rand.New(rand.NewPCG(seed, 1))}
		var traces []ptrace.Traces
		tracesSignal := &newTraces(nil, consumertest.NewNop()).signal
		tracesSignal.consume = func(_ context.Context, td ptrace.Traces) error { traces = append(traces, td); return nil }
		splitAndJoin(t, r, tracesSignal, &traces, r.traces, describeTraces)

		var metrics []pmetric.Metrics
		metricsSignal := &newMetrics(nil, consumertest.NewNop()).signal
		metricsSignal.consume = func(_ context.Context, md pmetric.Metrics) error { metrics = append(metrics, md); return nil }
		splitAndJoin(t, r, metricsSignal, &metrics, r.metrics, describeMetrics)

		var logs []plog.Logs
		logsSignal := &newLogs(nil, consumertest.NewNop()).signal
		logsSignal.consume = func(_ context.Context, ld plog.Logs) error { logs = append(logs, ld); return nil }
		splitAndJoin(t, r, logsSignal, &logs, r.logs, describeLogs)
		require.False(t, t.Failed(), "seed %d", seed)
	}
}

// largeHeader is the size of the resource, scope or metric around the items of splitWithLargeHeader.
const largeHeader = 200 << 10

// splitWithLargeHeader splits, for each signal, n items with itemBytes of text and what stands around them, encoded and decoded.
func splitWithLargeHeader(t *testing.T, n, itemBytes, maxItems, maxBytes int, test func(t *testing.T, items []int)) {
	header, text := strings.Repeat("h", largeHeader), strings.Repeat("t", itemBytes)

	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("key", header)
	ss := rs.ScopeSpans().AppendEmpty()
	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	sl.Scope().SetName(header)
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetDescription(header)
	gauge := m.SetEmptyGauge()
	for range n {
		ss.Spans().AppendEmpty().SetName(text)
		sl.LogRecords().AppendEmpty().SetEventName(text)
		gauge.DataPoints().AppendEmpty().Attributes().PutStr("key", text)
	}
	t.Run("traces", func(t *testing.T) {
		splitBothWays(t, &newTraces(nil, consumertest.NewNop()).signal, td, maxItems, maxBytes, test)
	})
	t.Run("logs", func(t *testing.T) {
		splitBothWays(t, &newLogs(nil, consumertest.NewNop()).signal, ld, maxItems, maxBytes, test)
	})
	t.Run("metrics", func(t *testing.T) {
		splitBothWays(t, &newMetrics(nil, consumertest.NewNop()).signal, md, maxItems, maxBytes, test)
	})
}

// splitBothWays holds the bytes of all pieces against the whole's, and lets test look at the items of each.
func splitBothWays[T any](t *testing.T, signal *decodedSignal[T], data T, maxItems, maxBytes int, test func(t *testing.T, items []int)) {
	request, err := signal.encode(data, mem.NopBufferPool{})
	require.NoError(t, err)
	for name, whole := range map[string]payload{"encoded": newEncoded(request, nil), "decoded": signal.payload(data)} {
		t.Run(name, func(t *testing.T) {
			size, n := whole.bytes(), whole.items()
			pieces, err := whole.split(maxItems, maxBytes)
			require.NoError(t, err)
			var items []int
			sumItems, sumBytes := 0, 0
			for _, piece := range pieces {
				items = append(items, piece.items())
				sumItems += piece.items()
				sumBytes += piece.bytes()
			}
			assert.Equal(t, n, sumItems)
			assert.LessOrEqual(t, sumBytes, 2*size+wire.FreeRepeats+64*len(pieces))
			test(t, items)
		})
	}
}

func TestAHeaderLargerThanTheItemsIsNotRepeated(t *testing.T) {
	for name, limits := range map[string]struct{ maxItems, maxBytes int }{
		"a limit by bytes that the header exceeds": {2000, largeHeader - 1},
		"a limit by items":                         {100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			splitWithLargeHeader(t, 3000, 0, limits.maxItems, limits.maxBytes, func(t *testing.T, items []int) {
				assert.Equal(t, []int{3000}, items)
			})
		})
	}
}

func TestAHeaderIsRepeatedOnceAsManyBytesOfItemsCameBefore(t *testing.T) {
	const itemBytes = 1 << 10
	splitWithLargeHeader(t, 1000, itemBytes, 10, 0, func(t *testing.T, items []int) {
		for i, n := range items[:len(items)-1] {
			assert.InDelta(t, largeHeader/itemBytes, n, float64(wire.FreeRepeats/itemBytes+10), "piece %d", i)
		}
	})
}

func TestALargeHeaderKeepsNoOtherResourceFromBeingDivided(t *testing.T) {
	for name, c := range map[string]struct {
		headers, spans [2]int // of each resource
		want           []int
	}{
		"the large one first": {[2]int{largeHeader, 10}, [2]int{3000, 1000}, []int{3000, 300, 300, 300, 100}},
		"the large one last":  {[2]int{10, largeHeader}, [2]int{1000, 3000}, []int{300, 300, 300, 100, 3000}},
	} {
		t.Run(name, func(t *testing.T) {
			td := ptrace.NewTraces()
			for i, header := range c.headers {
				rs := td.ResourceSpans().AppendEmpty()
				rs.Resource().Attributes().PutStr("key", strings.Repeat("h", header))
				spans := rs.ScopeSpans().AppendEmpty().Spans()
				for range c.spans[i] {
					spans.AppendEmpty()
				}
			}
			pieces, err := newTraces(nil, consumertest.NewNop()).signal.payload(td).split(300, 0)
			require.NoError(t, err)
			var items []int
			for _, piece := range pieces {
				items = append(items, piece.items())
			}
			assert.Equal(t, c.want, items)
		})
	}
}
