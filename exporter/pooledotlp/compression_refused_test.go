package pooledotlp

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
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
	assert.Zero(t, e.(tracesExporter).sender.fallback.until.Load())
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

// picky is a transport to a backend that is told whether it takes compressed requests, and counts them.
type picky struct {
	verdict    verdict // on compressed requests
	compressed int
}

func (*picky) start(context.Context, component.Host) error { return nil }
func (*picky) stats() connpool.Stats                       { return connpool.Stats{} }
func (*picky) shutdown() error                             { return nil }

func (p *picky) send(_ context.Context, _ mem.BufferSlice, compressed bool) (partialSuccess, verdict) {
	if !compressed {
		return partialSuccess{}, verdict{}
	}
	p.compressed++
	return partialSuccess{}, p.verdict
}

func TestARefusedCompressionIsTriedAgainByOneRequestLater(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	set, _ := measuredSettings(t)
	set.Logger = zap.New(core)
	s, err := newSender(newConfig(t, map[string]any{"endpoint": "backend:1"}), set, wire.Traces, nil)
	require.NoError(t, err)
	s.buffers = nopBuffers
	require.NoError(t, s.shutdown())
	refused := verdict{outcome: attempt.Failed, mayBeCompression: true}
	backend := &picky{verdict: refused}
	s.transport = backend
	synctest.Test(t, func(t *testing.T) {
		// compressedOf sends ten requests and returns how many of them were compressed.
		compressedOf := func() int {
			backend.compressed = 0
			for range 10 {
				r := newRequest(wireTraces(t, spans(100)), nopBuffers)
				_ = s.send(context.Background(), r)
				r.release()
			}
			return backend.compressed
		}
		assert.Equal(t, 1, compressedOf())
		for _, wait := range []time.Duration{10, 20, 40, 80, 120, 120} {
			time.Sleep(wait*time.Minute - time.Nanosecond)
			assert.Zero(t, compressedOf(), "%d minutes are not over", wait)
			time.Sleep(time.Nanosecond)
			assert.Equal(t, 1, compressedOf(), "one finds out for all, after %d minutes", wait)
		}
		time.Sleep(maxFallbackTime)
		backend.verdict = verdict{outcome: attempt.Unavailable}
		assert.Equal(t, 1, compressedOf(), "that tells nothing")
		backend.verdict = verdict{outcome: attempt.Accepted}
		assert.Zero(t, compressedOf())
		time.Sleep(fallbackTime)
		assert.Equal(t, 10, compressedOf())
		assert.Equal(t, 1, logs.FilterMessageSnippet("refuses the compression").Len())
		assert.Equal(t, 1, logs.FilterMessageSnippet("takes the compression again").Len())
		backend.verdict = refused
		assert.Equal(t, 1, compressedOf())
		time.Sleep(fallbackTime)
		assert.Equal(t, 1, compressedOf(), "the times begin anew")
	})
}

// Requests that were under way compressed when the first one was refused say no more than that one.
func TestRefusalsTogetherAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f compressionFallback
		for i := range 5 {
			assert.Equal(t, i == 0, f.refused(false))
		}
		time.Sleep(fallbackTime)
		compress, probe := f.choose()
		assert.True(t, compress)
		assert.True(t, probe)
	})
}
