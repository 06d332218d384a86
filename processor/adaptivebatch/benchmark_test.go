package adaptivebatch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

// benchmarked is a running processor before a backend that answers every request after a time, and does nothing else.
func benchmarked(b *testing.B, answersAfter time.Duration, configure func(*Config)) *tracesProcessor {
	b.Helper()
	cfg := createDefaultConfig().(*Config)
	if configure != nil {
		configure(cfg)
	}
	next, err := consumer.NewTraces(func(ctx context.Context, td ptrace.Traces) error {
		time.Sleep(answersAfter)
		_, err := bytepath.Traces(ctx, td)
		return err
	})
	require.NoError(b, err)
	p, err := NewFactory().CreateTraces(b.Context(), processortest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(b, err)
	require.NoError(b, p.Start(b.Context(), componenttest.NewNopHost()))
	b.Cleanup(func() { require.NoError(b, p.Shutdown(context.Background())) })
	return p.(*tracesProcessor)
}

// encodedCall is a call of n spans as bytes, which may be sent any number of times.
func encodedCall(b *testing.B, n int) context.Context {
	b.Helper()
	request, err := wire.FromTraces(numbered(0, n), mem.NopBufferPool{})
	require.NoError(b, err)
	b.Cleanup(request.Free)
	return bytepath.NewContext(b.Context(), request)
}

// BenchmarkCallers measures what a call of 10 spans costs in the processor with so many callers at once, each waiting for its
// answers. The backend takes 1 ms, which the time per operation has in it as 1 ms / callers; with -mutexprofile the
// batcher's lock is seen.
func BenchmarkCallers(b *testing.B) {
	for _, callers := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			p := benchmarked(b, time.Millisecond, nil)
			ctx := encodedCall(b, 10)
			calls := make(chan struct{}, callers)
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for range calls {
						if err := p.ConsumeTraces(ctx, bytepath.TracesMarker()); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for range b.N {
				calls <- struct{}{}
			}
			close(calls)
			wg.Wait()
		})
	}
}

// BenchmarkLoneCaller measures what waiting clients see: one that sends single spans, each after the answer to the last. p50-us is
// the median from call to answer beyond the 2 ms of the backend and what its sleep takes longer.
func BenchmarkLoneCaller(b *testing.B) {
	for name, configure := range map[string]func(*Config){
		"adaptive": nil,
		"fixed":    func(cfg *Config) { cfg.Adaptive = false },
	} {
		b.Run(name, func(b *testing.B) {
			const answersAfter = 2 * time.Millisecond
			p := benchmarked(b, answersAfter, configure)
			ctx := encodedCall(b, 1)
			var added []time.Duration
			for b.Loop() {
				began := time.Now()
				time.Sleep(answersAfter)
				alone := time.Since(began)
				began = time.Now()
				if err := p.ConsumeTraces(ctx, bytepath.TracesMarker()); err != nil {
					b.Fatal(err)
				}
				added = append(added, time.Since(began)-alone)
			}
			slices.Sort(added)
			b.ReportMetric(float64(added[len(added)/2].Microseconds()), "p50-us")
		})
	}
}

// BenchmarkLeaving measures what a caller costs that leaves the queue, when so many leave together.
func BenchmarkLeaving(b *testing.B) {
	for _, callers := range []int{1_000, 20_000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			p := benchmarked(b, 0, func(cfg *Config) { cfg.Adaptive, cfg.Timeout, cfg.SendBatchSize = false, time.Hour, 1<<30 })
			left := errLeft(context.Canceled)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				calls := crowd(b, p.batcher, callers)
				b.StartTimer()
				for _, c := range calls {
					_ = p.leave(c, left)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(callers), "ns/caller")
		})
	}
}
