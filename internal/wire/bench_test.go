package wire

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// spans returns n spans of some 460 bytes with ten attributes each, in resources of perResource.
func spans(n, perResource int) ptrace.Traces {
	td := ptrace.NewTraces()
	var ss ptrace.ScopeSpans
	for i := range n {
		if i%perResource == 0 {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("service-%d", i))
			rs.Resource().Attributes().PutStr("host.name", "host-1.region.example.com")
			ss = rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName("go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp")
		}
		s := ss.Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1, 2, 3, byte(i)})
		s.SetSpanID(pcommon.SpanID{4, 5, byte(i)})
		s.SetParentSpanID(pcommon.SpanID{6, 7})
		s.SetName("GET /api/v1/orders")
		s.SetKind(ptrace.SpanKindServer)
		s.SetStartTimestamp(1_700_000_000_000_000_000)
		s.SetEndTimestamp(1_700_000_000_100_000_000)
		s.SetFlags(0x101)
		for a := range 8 {
			s.Attributes().PutStr(fmt.Sprintf("http.attribute.%d", a), fmt.Sprintf("a value of %d and %d", a, i))
		}
		s.Attributes().PutInt("http.response.status_code", 200)
		s.Attributes().PutInt("server.port", 8080)
	}
	return td
}

func encoded(b *testing.B, n, perResource int) []byte {
	r, err := FromTraces(spans(n, perResource), mem.NopBufferPool{})
	if err != nil {
		b.Fatal(err)
	}
	return r.AppendTo(nil)
}

func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		data := encoded(b, n, 100)
		for _, frame := range []int{0, 16 << 10} {
			b.Run(fmt.Sprintf("spans=%d/frame=%d", n, frame), func(b *testing.B) {
				s := frames(data, frame)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Check(Traces, s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkUnmarshalPdata(b *testing.B) {
	data := encoded(b, 1000, 100)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := unmarshal(Traces, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, c := range []struct{ perResource, maxItems int }{{100, 100}, {1000, 300}, {10, 300}} {
		b.Run(fmt.Sprintf("perResource=%d/maxItems=%d", c.perResource, c.maxItems), func(b *testing.B) {
			data := encoded(b, 1000, c.perResource)
			r, err := Check(Traces, frames(data, 16<<10))
			if err != nil {
				b.Fatal(err)
			}
			pool := bufpool.New(bufpool.DefaultConfig())
			defer pool.Close()
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				pieces, err := r.Clone().Split(c.maxItems, 0, pool)
				if err != nil {
					b.Fatal(err)
				}
				for _, p := range pieces {
					p.Free()
				}
			}
		})
	}
}

func BenchmarkJoin(b *testing.B) {
	r, err := Check(Traces, frames(encoded(b, 100, 100), 16<<10))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		joined := r.Clone()
		for range 99 {
			joined.Append(r.Clone())
		}
		joined.Free()
	}
}

func BenchmarkEncode(b *testing.B) {
	td := spans(100, 100)
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	b.Run("pooled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := FromTraces(td, pool)
			if err != nil {
				b.Fatal(err)
			}
			r.Free()
		}
	})
	b.Run("pdata", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td); err != nil {
				b.Fatal(err)
			}
		}
	})
}
