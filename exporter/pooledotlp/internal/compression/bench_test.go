package compression

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/sample"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// telemetry encodes spans of a web service.
func telemetry(spans int) []byte {
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(sample.Spans(spans))
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
				writeOnce(b, w, &out, data)
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

func writeOnce(b *testing.B, w stream, out *bytes.Buffer, data []byte) {
	b.Helper()
	out.Reset()
	w.Reset(out)
	if _, err := w.Write(data); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAgainstStock compares the default levels with the stock encoders, in turns on the same message, so that a noisy
// machine is so for both: the CPU time, all goroutines of an encoder together, and the bytes, as parts of the stock encoder's.
func BenchmarkAgainstStock(b *testing.B) {
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	for _, spans := range []int{10, 100, 1000} {
		data := telemetry(spans)
		in := mem.BufferSlice{mem.SliceBuffer(data)}
		for name, w := range stockEncoders(b) {
			b.Run(fmt.Sprintf("%s/%d spans", name, spans), func(b *testing.B) {
				c, err := For(Algorithm(name), DefaultLevel)
				require.NoError(b, err)
				var stock bytes.Buffer
				var size int
				var ours, theirs time.Duration
				for b.Loop() {
					start := sample.ProcessCPU(b)
					out, err := c.Compress(in, pool)
					if err != nil {
						b.Fatal(err)
					}
					size = out.Len()
					out.Free()
					middle := sample.ProcessCPU(b)
					writeOnce(b, w, &stock, data)
					ours, theirs = ours+middle-start, theirs+sample.ProcessCPU(b)-middle
				}
				b.ReportMetric(ours.Seconds()/theirs.Seconds(), "cpu/stock")
				b.ReportMetric(float64(size)/float64(stock.Len()), "bytes/stock")
			})
		}
	}
}

func report(b *testing.B, size, of int) {
	b.Helper()
	b.ReportMetric(float64(size), "B/request")
	b.ReportMetric(100*float64(size)/float64(of), "%size")
}
