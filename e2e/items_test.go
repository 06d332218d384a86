package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// numberKey is the attribute that carries an item's number.
const numberKey = "test.number"

// describe fills the attributes of item number; check holds them against it, so that an item whose attributes were mixed
// up with another's does not pass for itself.
func describe(attributes pcommon.Map, number int) {
	attributes.PutInt(numberKey, int64(number))
	attributes.PutStr("test.text", fmt.Sprintf("item %d", number))
	attributes.PutBool("test.even", number%2 == 0)
}

func described(attributes, resource pcommon.Map) (number int, ok bool) {
	n, ok := attributes.Get(numberKey)
	if !ok {
		return 0, false
	}
	want := pcommon.NewMap()
	describe(want, int(n.Int()))
	group, ok := resource.Get("test.group")
	return int(n.Int()), ok && attributes.Equal(want) && group.Int() == n.Int()/10
}

// groups calls add for every run of ten numbers in [first, first+count); each run shares a resource.
func groups(first, count int, add func(group int, numbers []int)) {
	for number := first; number < first+count; {
		end := min(first+count, number/10*10+10)
		var numbers []int
		for n := number; n < end; n++ {
			numbers = append(numbers, n)
		}
		add(number/10, numbers)
		number = end
	}
}

func numberedTraces(first, count int) ptrace.Traces {
	td := ptrace.NewTraces()
	groups(first, count, func(group int, numbers []int) {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutInt("test.group", int64(group))
		spans := rs.ScopeSpans().AppendEmpty().Spans()
		for _, n := range numbers {
			span := spans.AppendEmpty()
			span.SetName(fmt.Sprintf("span %d", n))
			span.SetTraceID(pcommon.TraceID{1, byte(n >> 16), byte(n >> 8), byte(n)})
			span.SetSpanID(pcommon.SpanID{2, byte(n >> 16), byte(n >> 8), byte(n)})
			describe(span.Attributes(), n)
		}
	})
	return td
}

func numberedMetrics(first, count int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	groups(first, count, func(group int, numbers []int) {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutInt("test.group", int64(group))
		metrics := rm.ScopeMetrics().AppendEmpty().Metrics()
		gauge := metrics.AppendEmpty()
		gauge.SetName("test.gauge")
		gauge.SetEmptyGauge()
		sum := metrics.AppendEmpty()
		sum.SetName("test.sum")
		sum.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for _, n := range numbers {
			points := gauge.Gauge().DataPoints()
			if n%2 == 0 {
				points = sum.Sum().DataPoints()
			}
			point := points.AppendEmpty()
			point.SetIntValue(int64(n))
			describe(point.Attributes(), n)
		}
	})
	return md
}

func numberedLogs(first, count int) plog.Logs {
	ld := plog.NewLogs()
	groups(first, count, func(group int, numbers []int) {
		rl := ld.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutInt("test.group", int64(group))
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for _, n := range numbers {
			record := records.AppendEmpty()
			record.Body().SetStr(fmt.Sprintf("log %d", n))
			describe(record.Attributes(), n)
		}
	})
	return ld
}

// arrivals counts how often each number arrived, per signal. It is the consumer behind a stock OTLP receiver.
type arrivals struct {
	mu      sync.Mutex
	spans   map[int]int
	points  map[int]int
	records map[int]int
	foreign []pcommon.Map   // attributes of items without a number: telemetrygen's
	metrics map[string]bool // names
	broken  int             // numbered items whose attributes or resource are not their own
	changed chan struct{}   // one token when anything arrived since the last look
}

func (a *arrivals) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (a *arrivals) count(into map[int]int, attributes, resource pcommon.Map) {
	if _, numbered := attributes.Get(numberKey); !numbered {
		foreign := pcommon.NewMap()
		attributes.CopyTo(foreign)
		a.foreign = append(a.foreign, foreign)
		return
	}
	number, ok := described(attributes, resource)
	if !ok {
		a.broken++
	}
	into[number]++
}

func (a *arrivals) lock() (unlock func()) {
	a.mu.Lock()
	return func() {
		a.mu.Unlock()
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
}

func (a *arrivals) ConsumeTraces(_ context.Context, td ptrace.Traces) error {
	defer a.lock()()
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				a.count(a.spans, span.Attributes(), rs.Resource().Attributes())
			}
		}
	}
	return nil
}

func (a *arrivals) ConsumeMetrics(_ context.Context, md pmetric.Metrics) error {
	defer a.lock()()
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				a.metrics[metric.Name()] = true
				var points pmetric.NumberDataPointSlice
				switch metric.Type() {
				case pmetric.MetricTypeGauge:
					points = metric.Gauge().DataPoints()
				case pmetric.MetricTypeSum:
					points = metric.Sum().DataPoints()
				default:
					a.broken++
					continue
				}
				for _, point := range points.All() {
					a.count(a.points, point.Attributes(), rm.Resource().Attributes())
				}
			}
		}
	}
	return nil
}

func (a *arrivals) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	defer a.lock()()
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				a.count(a.records, record.Attributes(), rl.Resource().Attributes())
			}
		}
	}
	return nil
}

// startBackend serves a stock OTLP/gRPC receiver at the address until the test ends or stop is called.
func startBackend(t *testing.T, address string) (a *arrivals, stop func()) {
	t.Helper()
	a = &arrivals{spans: map[int]int{}, points: map[int]int{}, records: map[int]int{}, metrics: map[string]bool{}, changed: make(chan struct{}, 1)}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = address
	settings := receivertest.NewNopSettings(factory.Type())
	traces, err := factory.CreateTraces(t.Context(), settings, config, a)
	require.NoError(t, err)
	metrics, err := factory.CreateMetrics(t.Context(), settings, config, a)
	require.NoError(t, err)
	logs, err := factory.CreateLogs(t.Context(), settings, config, a)
	require.NoError(t, err)
	// The three are one shared receiver; starting one starts all.
	require.NoError(t, traces.Start(context.Background(), componenttest.NewNopHost()))
	stop = sync.OnceFunc(func() {
		for _, r := range []interface{ Shutdown(context.Context) error }{traces, metrics, logs} {
			assert.NoError(t, r.Shutdown(context.Background()))
		}
	})
	t.Cleanup(stop)
	return a, stop
}

// named reports whether a metric of that name has arrived.
func (a *arrivals) named(metric string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.metrics[metric]
}

// totals returns how many items arrived, duplicates counted, numbered and foreign together.
func (a *arrivals) totals() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	total := len(a.foreign)
	for _, counts := range []map[int]int{a.spans, a.points, a.records} {
		for _, n := range counts {
			total += n
		}
	}
	return total
}

// requireExactlyOnce fails unless the numbers in acknowledged arrived once each, intact, and nothing else did.
func requireExactlyOnce(t *testing.T, a *arrivals, counts map[int]int, acknowledged []int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	require.Zero(t, a.broken, "items with another's attributes")
	require.Empty(t, missing(counts, acknowledged), "acknowledged and lost")
	for number, times := range counts {
		require.Equal(t, 1, times, "item %d arrived more than once", number)
	}
	require.Len(t, counts, len(acknowledged), "arrived without being sent")
}

// missing returns the wanted numbers that did not arrive, in order.
func missing(counts map[int]int, wanted []int) []int {
	absent := map[int]struct{}{}
	for _, n := range wanted {
		if counts[n] == 0 {
			absent[n] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(absent))
}

func sequence(first, count int) []int {
	numbers := make([]int, count)
	for i := range numbers {
		numbers[i] = first + i
	}
	return numbers
}
