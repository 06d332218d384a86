package payload

import (
	"fmt"
	"math/rand/v2"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The values below are drawn at random, as a shop's services would send them: some vary from item to item, most repeat.
var (
	serviceNames = [services]string{"storefront", "checkout", "inventory"}
	routes       = []string{"/api/v1/orders", "/api/v1/orders/{id}", "/api/v1/cart", "/api/v1/products/{id}", "/healthz", "/api/v1/users/{id}/addresses"}
	methods      = []string{"GET", "GET", "GET", "POST", "PUT", "DELETE"}
	statusCodes  = []int64{200, 200, 200, 200, 201, 204, 304, 400, 404, 500}
	agents       = []string{"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0", "okhttp/4.12.0", "Go-http-client/2.0"}
	severities   = []plog.SeverityNumber{plog.SeverityNumberInfo, plog.SeverityNumberInfo, plog.SeverityNumberInfo, plog.SeverityNumberWarn, plog.SeverityNumberError}
)

func fillResource(res pcommon.Resource, role int, rng *rand.Rand) {
	attrs := res.Attributes()
	attrs.PutStr("service.name", serviceNames[role])
	attrs.PutStr("service.version", "2.14.3")
	attrs.PutStr("service.instance.id", fmt.Sprintf("%016x", rng.Uint64()))
	attrs.PutStr("deployment.environment.name", "production")
	attrs.PutStr("host.name", fmt.Sprintf("ip-10-0-%d-%d", rng.IntN(16), rng.IntN(256)))
	attrs.PutStr("k8s.pod.name", fmt.Sprintf("%s-7d9c5b6f4-%05x", serviceNames[role], rng.IntN(1<<20)))
	attrs.PutStr("telemetry.sdk.language", "go")
}

var scopeNames = []string{
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
}

func fillScope(scope pcommon.InstrumentationScope, index int) {
	scope.SetName(scopeNames[index])
	scope.SetVersion("0.63.0")
}

// spread says how many items each scope of each resource has: all items in one, or nested, in two resources of two scopes each.
func spread(items int, nested bool) [][]int {
	if !nested {
		return [][]int{{items}}
	}
	half, rest := items/2, items-items/2
	return [][]int{{half / 2, half - half/2}, {rest / 2, rest - rest/2}}
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// newTraces fills every field that Encode will overwrite with a value that is not zero: pdata does not write zeros.
func newTraces(items, role int, rng *rand.Rand, nested bool) ptrace.Traces {
	td := ptrace.NewTraces()
	for _, scopes := range spread(items, nested) {
		rs := td.ResourceSpans().AppendEmpty()
		fillResource(rs.Resource(), role, rng)
		for i, spans := range scopes {
			ss := rs.ScopeSpans().AppendEmpty()
			fillScope(ss.Scope(), i)
			for range spans {
				s := ss.Spans().AppendEmpty()
				fillSpan(s, role, rng)
				if nested {
					nestSpan(s, rng)
				}
			}
		}
	}
	return td
}

func fillSpan(s ptrace.Span, role int, rng *rand.Rand) {
	s.SetTraceID(pcommon.TraceID{1})
	s.SetSpanID(pcommon.SpanID{1})
	if role > 0 {
		s.SetParentSpanID(pcommon.SpanID{1})
	}
	method, route := pick(rng, methods), pick(rng, routes)
	start := uint64(timeBase) + rng.Uint64N(60e9)
	s.SetName(method + " " + route)
	s.SetKind(ptrace.SpanKindServer)
	s.SetFlags(0x101)
	s.SetStartTimestamp(pcommon.Timestamp(start))
	s.SetEndTimestamp(pcommon.Timestamp(start + rng.Uint64N(80e6)))
	attrs := s.Attributes()
	attrs.PutStr("http.request.method", method)
	attrs.PutStr("http.route", route)
	attrs.PutStr("url.path", fmt.Sprintf("/api/v1/orders/%d", rng.IntN(1_000_000)))
	attrs.PutStr("url.scheme", "https")
	attrs.PutStr("server.address", "shop.example.com")
	attrs.PutInt("server.port", 443)
	attrs.PutInt("http.response.status_code", pick(rng, statusCodes))
	attrs.PutStr("user_agent.original", pick(rng, agents))
	attrs.PutStr("client.address", fmt.Sprintf("203.0.113.%d", rng.IntN(256)))
	attrs.PutStr("network.protocol.version", "1.1")
	attrs.PutStr("session.id", fmt.Sprintf("%08x", rng.Uint32N(5000)))
	attrs.PutBool("cache.hit", rng.IntN(4) == 0)
}

func newLogs(items, role int, rng *rand.Rand, nested bool) plog.Logs {
	ld := plog.NewLogs()
	for _, scopes := range spread(items, nested) {
		rl := ld.ResourceLogs().AppendEmpty()
		fillResource(rl.Resource(), role, rng)
		for i, records := range scopes {
			sl := rl.ScopeLogs().AppendEmpty()
			fillScope(sl.Scope(), i)
			for range records {
				r := sl.LogRecords().AppendEmpty()
				fillRecord(r, rng)
				if nested {
					nestValues(r.Attributes(), rng)
				}
			}
		}
	}
	return ld
}

func fillRecord(r plog.LogRecord, rng *rand.Rand) {
	r.SetTimestamp(1)
	r.SetSeverityNumber(pick(rng, severities))
	r.SetSeverityText(r.SeverityNumber().String())
	r.Body().SetStr(fmt.Sprintf("%s %s answered %d in %d ms for customer %d", pick(rng, methods), pick(rng, routes),
		pick(rng, statusCodes), rng.IntN(400), rng.IntN(50_000)))
	attrs := r.Attributes()
	attrs.PutStr("event.name", "http.server.request")
	attrs.PutStr("code.file.path", "/src/internal/handlers/orders.go")
	attrs.PutInt("code.line.number", int64(rng.IntN(500)))
	attrs.PutStr("code.function.name", "handlers.(*Orders).ServeHTTP")
	attrs.PutStr("thread.name", fmt.Sprintf("worker-%d", rng.IntN(16)))
	attrs.PutStr("user_agent.original", pick(rng, agents))
}

// pointsPerMetric is how many series of one metric a request carries, as a scrape or an SDK's export does.
const pointsPerMetric = 5

func newMetrics(items, role int, rng *rand.Rand, nested bool) pmetric.Metrics {
	md := pmetric.NewMetrics()
	for _, scopes := range spread(items, nested) {
		rm := md.ResourceMetrics().AppendEmpty()
		fillResource(rm.Resource(), role, rng)
		for i, points := range scopes {
			sm := rm.ScopeMetrics().AppendEmpty()
			fillScope(sm.Scope(), i)
			for done := 0; done < points; done += pointsPerMetric {
				m := sm.Metrics().AppendEmpty()
				fillMetric(m, done/pointsPerMetric, min(pointsPerMetric, points-done), rng)
				if nested {
					nestMetric(m, rng)
				}
			}
		}
	}
	return md
}

// fillMetric gives the kinds of metric in turn: gauge, sum, histogram, exponential histogram.
func fillMetric(m pmetric.Metric, index, points int, rng *rand.Rand) {
	switch index % 4 {
	case 0:
		m.SetName("process.runtime.go.goroutines")
		m.SetUnit("{goroutine}")
		dps := m.SetEmptyGauge().DataPoints()
		for range points {
			dp := dps.AppendEmpty()
			dp.SetIntValue(int64(rng.IntN(5000)))
			fillPoint(dp, rng)
		}
	case 1:
		m.SetName("http.server.requests")
		m.SetUnit("{request}")
		sum := m.SetEmptySum()
		sum.SetIsMonotonic(true)
		sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for range points {
			dp := sum.DataPoints().AppendEmpty()
			dp.SetDoubleValue(float64(rng.IntN(1_000_000)))
			fillPoint(dp, rng)
		}
	case 2:
		m.SetName("http.server.request.duration")
		m.SetUnit("s")
		h := m.SetEmptyHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		for range points {
			dp := h.DataPoints().AppendEmpty()
			dp.ExplicitBounds().FromRaw([]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5})
			dp.BucketCounts().FromRaw(counts(10, rng))
			dp.SetCount(rng.Uint64N(1000))
			dp.SetSum(rng.Float64() * 100)
			fillPoint(dp, rng)
		}
	default:
		m.SetName("rpc.client.call.duration")
		m.SetUnit("s")
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
		for range points {
			dp := h.DataPoints().AppendEmpty()
			dp.SetScale(4)
			dp.Positive().SetOffset(int32(rng.IntN(40)) - 20)
			dp.Positive().BucketCounts().FromRaw(counts(20, rng))
			dp.SetCount(rng.Uint64N(1000))
			dp.SetSum(rng.Float64() * 100)
			fillPoint(dp, rng)
		}
	}
}

func counts(n int, rng *rand.Rand) []uint64 {
	c := make([]uint64, n)
	for i := range c {
		c[i] = rng.Uint64N(100)
	}
	return c
}

// point is what every kind of data point has in common.
type point interface {
	SetTimestamp(pcommon.Timestamp)
	SetStartTimestamp(pcommon.Timestamp)
	Attributes() pcommon.Map
}

func fillPoint(dp point, rng *rand.Rand) {
	dp.SetTimestamp(1)
	dp.SetStartTimestamp(timeBase)
	dp.Attributes().PutStr("http.route", pick(rng, routes))
	dp.Attributes().PutStr("http.request.method", pick(rng, methods))
	dp.Attributes().PutInt("http.response.status_code", pick(rng, statusCodes))
	dp.Attributes().PutStr("server.address", "shop.example.com")
}
