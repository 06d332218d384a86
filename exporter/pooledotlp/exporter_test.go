package pooledotlp

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/sample"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

func TestEverySignalArrivesUnchangedInEveryProtocolAndCompression(t *testing.T) {
	grpcEndpoint, httpURL, sink := startReceivers(t, nil)
	grpcCompressions := []string{"none", "gzip", "zstd", "snappy", "brotli"}
	// br is not among what the stock receiver reads over HTTP: see the test with a decoder of our own.
	httpCompressions := []string{"none", "gzip", "zstd", "snappy", "zlib", "deflate", "x-snappy-framed", "lz4"}
	for _, c := range []struct {
		protocol, endpoint string
		compressions       []string
	}{
		{"grpc", grpcEndpoint, grpcCompressions}, {"http/protobuf", httpURL, httpCompressions}, {"http/json", httpURL, httpCompressions},
	} {
		for _, algorithm := range c.compressions {
			for _, optimizations := range []string{"all", "none"} {
				if optimizations == "none" && algorithm == "brotli" {
					continue // the stock compression does not know it
				}
				t.Run(c.protocol+" "+algorithm+", optimizations "+optimizations, func(t *testing.T) {
					everySignalArrives(t, sink, newConfig(t, map[string]any{
						"protocol": c.protocol, "endpoint": c.endpoint, "compression": algorithm, "optimizations": optimizations,
						"sending_queue": map[string]any{"enabled": false},
					}))
				})
			}
		}
	}
}

func everySignalArrives(t *testing.T, sink *signalSinks, cfg *Config) {
	set := exportertest.NewNopSettings(NewFactory().Type())
	traces := newTracesExporter(t, set, cfg)
	metrics, err := NewFactory().CreateMetrics(context.Background(), set, cfg)
	require.NoError(t, err)
	logs, err := NewFactory().CreateLogs(context.Background(), set, cfg)
	require.NoError(t, err)
	startComponent(t, traces, componenttest.NewNopHost())
	startComponent(t, metrics, componenttest.NewNopHost())
	startComponent(t, logs, componenttest.NewNopHost())
	profiles := newProfilesExporter(t, set, cfg)
	startComponent(t, profiles, componenttest.NewNopHost())

	for _, n := range []int{1, 100, 2000} {
		require.NoError(t, traces.ConsumeTraces(context.Background(), spans(n)))
		require.NoError(t, metrics.ConsumeMetrics(context.Background(), dataPoints(n)))
		require.NoError(t, logs.ConsumeLogs(context.Background(), logRecords(n)))
		sent := samples("checkout", n)
		sent.MarkReadOnly()
		require.NoError(t, profiles.ConsumeProfiles(context.Background(), sent))

		got := sink.traces.AllTraces()
		assert.Equal(t, spans(n), got[len(got)-1])
		gotMetrics := sink.metrics.AllMetrics()
		assert.Equal(t, dataPoints(n), gotMetrics[len(gotMetrics)-1])
		gotLogs := sink.logs.AllLogs()
		assert.Equal(t, logRecords(n), gotLogs[len(gotLogs)-1])
		gotProfiles := sink.profiles.AllProfiles()
		assert.Equal(t, functions(sent), functions(gotProfiles[len(gotProfiles)-1]))
	}
	assert.Zero(t, traces.(tracesExporter).sender.fallback.until.Load(), "the compression was refused")
}

func TestAnObservedCallerBypassesTheQueueInMemory(t *testing.T) {
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		return ptraceotlp.NewExportResponse(), status.Error(codes.InvalidArgument, "bad span")
	})
	e := startTracesExporter(t, map[string]any{"endpoint": endpoint})

	// The queue answers before anything is sent.
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(1)))

	ctx, seen := observed(context.Background())
	err := e.ConsumeTraces(ctx, spans(1))

	require.ErrorContains(t, err, "bad span")
	assert.Equal(t, codes.InvalidArgument, status.Code(errors.Unwrap(errors.Unwrap(err))))
	assert.Equal(t, []attempt.Outcome{attempt.Rejected}, seen.outcomes())
}

func TestEveryAttemptIsReported(t *testing.T) {
	var calls atomic.Int32
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		if calls.Add(1) < 3 {
			return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "not now")
		}
		return ptraceotlp.NewExportResponse(), nil
	})
	e := startTracesExporter(t, map[string]any{
		"endpoint": endpoint, "compression": "none",
		"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms"},
	})
	ctx, seen := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(7)))

	assert.Equal(t, []attempt.Outcome{attempt.Unavailable, attempt.Unavailable, attempt.Accepted}, seen.outcomes())
	for _, a := range seen.list {
		assert.Equal(t, 7, a.Items)
		assert.Equal(t, wireTraces(t, spans(7)).Bytes(), a.Bytes)
		assert.Positive(t, a.Latency)
	}
}

func TestRetriesStopWhenTheCallerLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var calls atomic.Int32
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		calls.Add(1)
		cancel()
		return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "not now")
	})
	e := startTracesExporter(t, map[string]any{
		"endpoint": endpoint, "retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h", "max_elapsed_time": "0s"},
	})
	ctx, _ = observed(ctx)
	done := make(chan error, 1)
	go func() { done <- e.ConsumeTraces(ctx, spans(1)) }()
	select {
	case err := <-done:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("still retrying for a caller that has left")
	}
	assert.EqualValues(t, 1, calls.Load())
}

func TestShutdownWithoutStartAndTwice(t *testing.T) {
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{"endpoint": "localhost:1"}))
	require.NoError(t, e.Shutdown(context.Background()))
	require.NoError(t, e.Shutdown(context.Background()))
}

func TestPdataIsOnlyRead(t *testing.T) {
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
		"endpoint": "localhost:1", "sending_queue": map[string]any{"batch": map[string]any{"min_size": 10}},
	}))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	assert.False(t, e.Capabilities().MutatesData)
}

func TestStartFailsWhereTheStockExporterFails(t *testing.T) {
	for name, keys := range map[string]map[string]any{
		"a certificate that is not there":    {"endpoint": "localhost:1", "tls": map[string]any{"ca_file": "/nowhere"}},
		"an authenticator that is not there": {"endpoint": "localhost:1", "auth": map[string]any{"authenticator": "nop"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, keys))
			require.Error(t, e.Start(context.Background(), componenttest.NewNopHost()))
			require.NoError(t, e.Shutdown(context.Background()))
		})
	}
}

func TestARequestThatIsGivenUpIsLoggedWithoutAStack(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	set := exportertest.NewNopSettings(NewFactory().Type())
	set.Logger = zap.New(core, zap.AddStacktrace(zap.ErrorLevel)) // as the Collector's is
	e := newTracesExporter(t, set, newConfig(t, map[string]any{
		"endpoint": freeAddress(t), "sending_queue": map[string]any{"enabled": false}, "retry_on_failure": map[string]any{"enabled": false},
		"tls": map[string]any{"insecure": true},
	}))
	startComponent(t, e, componenttest.NewNopHost())
	require.Error(t, e.ConsumeTraces(t.Context(), sample.Spans(1)))
	require.NotZero(t, logs.Len())
	for _, entry := range logs.All() {
		assert.Empty(t, entry.Stack, entry.Message)
	}
}
