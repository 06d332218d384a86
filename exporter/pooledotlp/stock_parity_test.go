package pooledotlp

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// The tests of this file hold what the tests of the stock exporters hold and no other file here does.

func TestHeadersOfACall(t *testing.T) {
	var mu sync.Mutex
	var got metadata.MD
	endpoint := startBackend(t, func(ctx context.Context, _ ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		got, _ = metadata.FromIncomingContext(ctx)
		return ptraceotlp.NewExportResponse(), nil
	})
	ctx, _ := observed(context.Background())
	e := startTracesExporter(t, map[string]any{"endpoint": "http://" + endpoint, "headers": map[string]any{"x-api-key": "secret"}})
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, []string{"secret"}, got.Get("x-api-key"))
	assert.Contains(t, got.Get("user-agent")[0], "(linux/")

	e = startTracesExporter(t, map[string]any{"endpoint": endpoint, "user_agent": "mine"})
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Contains(t, got.Get("user-agent")[0], "mine")
}

func TestABackendThatGoesAndComesBack(t *testing.T) {
	backend := newCounting()
	address := freeAddress(t)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", address)
		require.NoError(t, err)
		return l
	}
	e := startTracesExporter(t, map[string]any{
		"endpoint": address, "retry_on_failure": map[string]any{"initial_interval": "10ms", "max_interval": "10ms"},
	})
	// It comes while a request waits for it.
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(3)))
	server := serveBackend(t, listen(), backend.export)
	require.Eventually(t, func() bool { return backend.total() == 3 }, 20*time.Second, time.Millisecond)
	server.GracefulStop() // not before the first answer is out, which would be asked for again
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(4)))
	serveBackend(t, listen(), backend.export)
	require.Eventually(t, func() bool { return backend.total() == 7 }, 20*time.Second, time.Millisecond)
}

func TestAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "otlp.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	backend := newCounting()
	serveBackend(t, l, backend.export)
	e := startTracesExporter(t, map[string]any{"endpoint": "unix://" + path})
	ctx, _ := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(3)))
	assert.Equal(t, 3, backend.total())
}

func TestExportBeforeStart(t *testing.T) {
	for _, keys := range []map[string]any{{"endpoint": "localhost:1"}, {"endpoint": "http://localhost:1", "protocol": "http/protobuf"}} {
		keys["retry_on_failure"] = map[string]any{"enabled": false}
		e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, keys))
		ctx, _ := observed(context.Background())
		require.ErrorIs(t, e.ConsumeTraces(ctx, spans(1)), errNotStarted)
		require.NoError(t, e.Shutdown(context.Background()))
		p := newProfilesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, keys))
		require.ErrorIs(t, p.ConsumeProfiles(ctx, samples("a", 1)), errNotStarted)
		require.NoError(t, p.Shutdown(context.Background()))
	}
}

func TestEndpointAttributesOfTheHelpersMetrics(t *testing.T) {
	for _, c := range []struct {
		keys map[string]any
		want []attribute.KeyValue
	}{
		{map[string]any{"endpoint": "backend:4317"}, []attribute.KeyValue{attribute.String("server.address", "backend"), attribute.Int("server.port", 4317)}},
		{map[string]any{"endpoint": "dns:///backend:4317"}, []attribute.KeyValue{attribute.String("server.address", "dns:///backend:4317")}},
		{map[string]any{"protocol": "http/protobuf", "endpoint": "https://backend:4318/otlp"}, []attribute.KeyValue{
			attribute.String("url.path", "/otlp/v1/traces"), attribute.String("server.address", "backend"), attribute.Int("server.port", 4318),
		}},
		{map[string]any{"protocol": "http/protobuf", "traces_endpoint": "https://backend"}, []attribute.KeyValue{attribute.String("server.address", "backend")}},
	} {
		assert.Equal(t, c.want, endpointAttributes(newConfig(t, c.keys), wire.Traces))
	}
}

func TestWhatWasAcceptedArrivesFromAFlakyBackend(t *testing.T) {
	backend := newCounting()
	var mu sync.Mutex
	n := 0
	endpoint := startBackend(t, func(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		mu.Lock()
		n++
		flaky := n%10 < 7
		mu.Unlock()
		if flaky {
			return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "seven of ten")
		}
		return backend.export(ctx, r)
	})
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
		"endpoint": endpoint, "retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "5ms"},
	}))
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	var callers sync.WaitGroup
	for caller := range 10 {
		callers.Go(func() {
			ctx := context.Background()
			if caller%2 == 0 {
				ctx, _ = observed(ctx)
			}
			for range 50 {
				assert.NoError(t, e.ConsumeTraces(ctx, spans(10)))
			}
		})
	}
	callers.Wait()
	require.Eventually(t, func() bool { return backend.total() == 5000 }, 20*time.Second, time.Millisecond)
	require.NoError(t, e.Shutdown(context.Background()))
	assert.Equal(t, 5000, backend.total())
}
