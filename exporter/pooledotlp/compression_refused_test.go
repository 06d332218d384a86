package pooledotlp

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// compressionSeen notes the compression of each call. Only grpc-go's statistics show it to a server.
type compressionSeen struct{ count atomic.Int32 }

type compressionKey struct{}

func (*compressionSeen) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, compressionKey{}, new(string))
}

func (*compressionSeen) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if header, ok := s.(*stats.InHeader); ok {
		*ctx.Value(compressionKey{}).(*string) = header.Compression
	}
}

func (*compressionSeen) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (*compressionSeen) HandleConn(context.Context, stats.ConnStats) {}

// refuse answers compressed requests like a server that does not know the compression.
func (c *compressionSeen) refuse() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.StatsHandler(c), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if name := *ctx.Value(compressionKey{}).(*string); name != "" && name != "identity" {
				c.count.Add(1)
				return nil, status.Errorf(codes.Unimplemented, "grpc: Decompressor is not installed for grpc-encoding %q", name)
			}
			return handler(ctx, req)
		})}
}

func TestARefusedCompressionIsNotUsedAgain(t *testing.T) {
	var compressed compressionSeen
	endpoint := startBackend(t, accept, compressed.refuse()...)
	core, logs := observer.New(zap.WarnLevel)
	set, tel := measuredSettings(t)
	set.Logger = zap.New(core)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{"endpoint": endpoint, "compression": "zstd"}))
	startComponent(t, e, componenttest.NewNopHost())

	ctx, seen := observed(context.Background())
	for range 3 {
		require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
	}

	assert.EqualValues(t, 1, compressed.count.Load())
	assert.Equal(t, []attempt.Outcome{attempt.Failed, attempt.Accepted, attempt.Accepted, attempt.Accepted}, seen.outcomes())
	assert.Equal(t, 1, logs.FilterMessageSnippet("refuses the compression").Len())
	assert.EqualValues(t, 1, sumOf(t, tel, "otelcol_exporter_pooledotlp_compression_refusals"))
}

func TestAServiceThatIsMissingSaysNothingAboutTheCompression(t *testing.T) {
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		return ptraceotlp.NewExportResponse(), status.Error(codes.Unimplemented, "no such service")
	})
	e := startTracesExporter(t, map[string]any{"endpoint": endpoint, "retry_on_failure": map[string]any{"enabled": false}})
	ctx, seen := observed(context.Background())
	for range 2 {
		require.Error(t, e.ConsumeTraces(ctx, spans(100)))
	}
	assert.Len(t, seen.outcomes(), 4, "each time compressed and once uncompressed")
	assert.False(t, e.(tracesExporter).sender.uncompressed.Load())
}

func TestSmallRequestsAreNotCompressed(t *testing.T) {
	var compressed compressionSeen
	endpoint := startBackend(t, accept, compressed.refuse()...)
	e := startTracesExporter(t, map[string]any{"endpoint": endpoint, "compression_min_size": 1 << 20})
	ctx, seen := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(1000)))
	assert.Zero(t, compressed.count.Load())
	assert.Equal(t, []attempt.Outcome{attempt.Accepted}, seen.outcomes())
}
