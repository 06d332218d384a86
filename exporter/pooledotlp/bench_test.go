package pooledotlp

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/sample"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch"
)

// discardCodec takes messages as they come, counts their bytes, and answers with nothing.
type discardCodec struct{ bytes *atomic.Int64 }

func (discardCodec) Name() string                         { return "proto" }
func (discardCodec) Marshal(any) (mem.BufferSlice, error) { return nil, nil }
func (c discardCodec) Unmarshal(data mem.BufferSlice, _ any) error {
	c.bytes.Add(int64(data.Len()))
	return nil
}

var _ encoding.CodecV2 = discardCodec{}

// leaveCompressed is the decompressor of one algorithm that does nothing.
type leaveCompressed string

func (leaveCompressed) Do(r io.Reader) ([]byte, error) { return io.ReadAll(r) }
func (l leaveCompressed) Type() string                 { return string(l) }

// startDiscard serves a backend that costs next to nothing: it neither decompresses nor decodes. received counts the bytes
// of the messages as they came.
func startDiscard(b testing.TB, algorithm string, received *atomic.Int64) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	pool := bufpool.New(bufpool.DefaultConfig())
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(discardCodec{received}), experimental.BufferPool(pool),
		grpc.RPCDecompressor(leaveCompressed(algorithm)), //nolint:staticcheck // the only way to leave a message compressed
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			if err := stream.RecvMsg(nil); err != nil {
				return err
			}
			return stream.SendMsg(nil)
		}))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	b.Cleanup(func() { server.Stop(); <-done; pool.Close() })
	return listener.Addr().String()
}

// BenchmarkExport compares the exporter with the stock one, without queues, so that what is measured is encoding, compressing
// and sending. The backend is in the same process, and its part the same for both.
func BenchmarkExport(b *testing.B) {
	for _, algorithm := range []string{"none", "gzip", "zstd"} {
		for _, n := range []int{10, 100, 1000} {
			td := sample.Spans(n)
			for _, who := range []string{"stock", "ours", "ours without optimizations"} {
				b.Run(fmt.Sprintf("%s/%d spans/%s", algorithm, n, who), func(b *testing.B) {
					var e exporter.Traces
					var received atomic.Int64
					endpoint := startDiscard(b, algorithm, &received)
					if who == "stock" {
						e = stockTraces(b, endpoint, algorithm)
					} else {
						optimizations := map[bool]string{true: "all", false: "none"}[who == "ours"]
						e = startTracesExporter(b, map[string]any{
							"endpoint": endpoint, "compression": algorithm, "optimizations": optimizations,
							"compression_min_size": 0, "sending_queue": map[string]any{"enabled": false},
						})
					}
					benchmarkExporter(b, e, td, n)
				})
			}
		}
	}
}

func stockTraces(b testing.TB, endpoint, algorithm string) exporter.Traces {
	b.Helper()
	factory := otlpexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpexporter.Config)
	cfg.ClientConfig.Endpoint = endpoint
	cfg.ClientConfig.TLS.Insecure = true
	cfg.ClientConfig.Compression = configcompression.Type(algorithm)
	cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
	e, err := factory.CreateTraces(context.Background(), exportertest.NewNopSettings(factory.Type()), cfg)
	require.NoError(b, err)
	startComponent(b, e, componenttest.NewNopHost())
	return e
}

func benchmarkExporter(b *testing.B, e exporter.Traces, td ptrace.Traces, n int) {
	b.Helper()
	ctx := context.Background()
	require.NoError(b, e.ConsumeTraces(ctx, td))
	b.ReportAllocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := e.ConsumeTraces(ctx, td); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/span")
}

// checksumTransport reads every byte and discards it.
type checksumTransport struct {
	sum   atomic.Uint32
	sends atomic.Int64
}

func (*checksumTransport) start(context.Context, component.Host) error { return nil }

func (t *checksumTransport) send(_ context.Context, payload mem.BufferSlice, _ bool) (partialSuccess, verdict) {
	t.sends.Add(1)
	for _, b := range payload {
		t.sum.Add(crc32.Checksum(b.ReadOnlyData(), crc32.MakeTable(crc32.Castagnoli)))
	}
	return partialSuccess{}, verdict{outcome: attempt.Accepted}
}

func (*checksumTransport) stats() connpool.Stats { return connpool.Stats{} }
func (*checksumTransport) shutdown() error       { return nil }

// BenchmarkWithoutNetwork is what the exporter itself costs: from pdata to the hand of the transport.
func BenchmarkWithoutNetwork(b *testing.B) {
	for _, n := range []int{1, 500} {
		b.Run(fmt.Sprintf("%d spans", n), func(b *testing.B) {
			e := checksumExporter(b, "none")
			td := sample.Spans(n)
			ctx := attempt.NewContext(context.Background(), func(attempt.Attempt) {})
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if err := e.ConsumeTraces(ctx, td); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}

// BenchmarkThroughAdaptivebatch is the data path of the distribution without a network: 256 callers that wait for the
// answer, adaptivebatch and this exporter with their defaults, and a transport that checksums. Compression is most of the
// cost with large requests, so it is shown without too. Rates per second of CPU time are those of one core, whatever else
// the machine does. A call's telemetry belongs to the processor, so each needs a copy; what making that takes is left out of these rates.
func BenchmarkThroughAdaptivebatch(b *testing.B) {
	for _, algorithm := range []string{"none", "gzip"} {
		for _, n := range []int{1, 500} {
			b.Run(fmt.Sprintf("%s/%d spans", algorithm, n), func(b *testing.B) {
				factory := adaptivebatch.NewFactory()
				e := checksumExporter(b, algorithm)
				batch, err := factory.CreateTraces(context.Background(), processortest.NewNopSettings(factory.Type()),
					factory.CreateDefaultConfig(), e)
				require.NoError(b, err)
				startComponent(b, batch, componenttest.NewNopHost())
				td := sample.Spans(n)
				copies := max(10, 20_000/n)
				before := sample.ProcessCPU(b)
				for range copies {
					copyOf(td)
				}
				perCopy := (sample.ProcessCPU(b) - before).Seconds() / float64(copies)
				b.ReportAllocs()
				b.SetParallelism(256 / runtime.GOMAXPROCS(0))
				b.ResetTimer()
				before = sample.ProcessCPU(b)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := batch.ConsumeTraces(context.Background(), copyOf(td)); err != nil {
							b.Error(err)
							return
						}
					}
				})
				seconds := (sample.ProcessCPU(b) - before).Seconds() - perCopy*float64(b.N)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				b.ReportMetric(float64(b.N)/seconds, "calls/cpu-s")
				b.ReportMetric(float64(b.N*n)/seconds, "spans/cpu-s")
				sends := e.(tracesExporter).sender.transport.(*checksumTransport).sends.Load()
				b.ReportMetric(float64(b.N)/float64(sends), "calls/batch")
			})
		}
	}
}

func copyOf(td ptrace.Traces) ptrace.Traces {
	own := ptrace.NewTraces()
	td.CopyTo(own)
	return own
}

// checksumExporter starts an exporter without a network.
func checksumExporter(b testing.TB, algorithm string) exporter.Traces {
	b.Helper()
	e := newTracesExporter(b, exportertest.NewNopSettings(NewFactory().Type()),
		newConfig(b, map[string]any{"endpoint": "localhost:1", "compression": algorithm}))
	e.(tracesExporter).sender.transport = &checksumTransport{}
	startComponent(b, e, componenttest.NewNopHost())
	return e
}
