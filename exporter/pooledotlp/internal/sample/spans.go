// Package sample makes telemetry for measurements: as compressible as real telemetry, and the same each time.
package sample

import (
	"fmt"
	"math/rand/v2"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Spans returns n spans of a web service: ten attributes each, with identifiers, times and numbers as random as real ones
// are.
func Spans(n int) ptrace.Traces {
	r := rand.New(rand.NewPCG(3, 4))
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "checkout")
	rs.Resource().Attributes().PutStr("k8s.pod.name", "checkout-6c9f7d5b5c-x2x7k")
	ss := rs.ScopeSpans().AppendEmpty()
	now := uint64(1_790_000_000_000_000_000)
	for range n {
		now += uint64(r.IntN(5_000_000))
		fill(ss.Spans().AppendEmpty(), r, now)
	}
	return td
}

func fill(s ptrace.Span, r *rand.Rand, now uint64) {
	var id [16]byte
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	s.SetTraceID(id)
	s.SetSpanID([8]byte(id[8:]))
	s.SetName([]string{"GET /cart", "POST /cart/items", "GET /products/{id}", "POST /orders"}[r.IntN(4)])
	s.SetStartTimestamp(pcommon.Timestamp(now))
	s.SetEndTimestamp(pcommon.Timestamp(now + uint64(r.IntN(50_000_000))))
	a := s.Attributes()
	a.PutStr("http.request.method", []string{"GET", "POST"}[r.IntN(2)])
	a.PutStr("url.path", fmt.Sprintf("/products/%d", r.IntN(100_000)))
	a.PutInt("http.response.status_code", []int64{200, 200, 200, 404, 500}[r.IntN(5)])
	a.PutStr("server.address", "shop.example.com")
	a.PutStr("client.address", fmt.Sprintf("10.%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256)))
	a.PutStr("user_agent.original", []string{"Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "okhttp/4.12.0"}[r.IntN(3)])
	a.PutInt("http.response.body.size", int64(r.IntN(1<<20)))
	a.PutStr("session.id", fmt.Sprintf("%016x", r.Uint64()))
	a.PutStr("network.protocol.version", "1.1")
	a.PutBool("cache.hit", r.IntN(2) == 0)
}
