package compression

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// telemetry encodes spans of a web service: ten attributes each, with identifiers, times and numbers as random as real
// ones are.
func telemetry(spans int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "checkout")
	rs.Resource().Attributes().PutStr("k8s.pod.name", "checkout-6c9f7d5b5c-x2x7k")
	ss := rs.ScopeSpans().AppendEmpty()
	now := uint64(1_790_000_000_000_000_000)
	for range spans {
		s := ss.Spans().AppendEmpty()
		var id [16]byte
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		now += uint64(r.IntN(5_000_000))
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
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		panic(err)
	}
	return b
}

// BenchmarkLevels prints the table of the README: time per request of 100 spans, and its size. "stock" are the encoders
// that the Collector's own components use over gRPC.
func BenchmarkLevels(b *testing.B) {
	data := telemetry(100)
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	in := mem.BufferSlice{mem.SliceBuffer(data)}
	for _, algorithm := range []Algorithm{Gzip, Zstd, Snappy, Brotli} {
		for level := min(1, levels[algorithm].max); level <= min(9, levels[algorithm].max); level++ {
			b.Run(fmt.Sprintf("%s/%d", algorithm, level), func(b *testing.B) {
				c, err := For(algorithm, level)
				require.NoError(b, err)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					out, err := c.Compress(in, pool)
					if err != nil {
						b.Fatal(err)
					}
					size = out.Len()
					out.Free()
				}
				report(b, size, len(data))
			})
		}
	}
	for name, w := range stockEncoders(b) {
		b.Run(name+"/stock", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				w.Reset(&out)
				if _, err := w.Write(data); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b, out.Len(), len(data))
		})
	}
}

func stockEncoders(b *testing.B) map[string]stream {
	b.Helper()
	z, err := zstd.NewWriter(io.Discard, zstd.WithWindowSize(512*1024))
	require.NoError(b, err)
	return map[string]stream{"gzip": stdgzip.NewWriter(io.Discard), "zstd": z, "snappy": snappy.NewBufferedWriter(io.Discard)}
}

func report(b *testing.B, size, of int) {
	b.Helper()
	b.ReportMetric(float64(size), "B/request")
	b.ReportMetric(100*float64(size)/float64(of), "%size")
}
