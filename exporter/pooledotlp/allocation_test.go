//go:build !race

// The race detector allocates on its own, and makes sync.Pool forget at random.

package pooledotlp

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/sample"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
)

func TestAllocationsDoNotGrowWithTheNumberOfSpans(t *testing.T) {
	few, many := sample.Spans(100), sample.Spans(1000)
	for algorithm, block := range map[string]int{
		"none": 0, "gzip": 0, "zstd": 0, "brotli": 0,
		"snappy": 64 << 10, // the library allocates once for each block
	} {
		e := checksumExporter(t, algorithm)
		perRequest := func(ctx context.Context, td ptrace.Traces) float64 {
			ctx = attempt.NewContext(ctx, func(attempt.Attempt) {})
			return testing.AllocsPerRun(50, func() {
				if err := e.ConsumeTraces(ctx, td); err != nil {
					t.Error(err)
				}
			})
		}
		blocks := 0
		if block > 0 {
			blocks = wireTraces(t, many).Bytes()/block - wireTraces(t, few).Bytes()/block
		}
		decoded := func(td ptrace.Traces) float64 { return perRequest(context.Background(), td) }
		encoded := func(td ptrace.Traces) float64 {
			return perRequest(bytepath.NewContext(context.Background(), wireTraces(t, td)), bytepath.TracesMarker())
		}
		for way, measure := range map[string]func(ptrace.Traces) float64{"decoded": decoded, "encoded": encoded} {
			measure(many) // fills the pools
			small, large := measure(few), measure(many)
			require.Positive(t, small)
			assert.LessOrEqual(t, large, small+float64(blocks), "%s, %s", algorithm, way)
		}
	}
}
