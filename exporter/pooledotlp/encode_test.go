package pooledotlp

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

func TestEncodedRequestsAreSentAsTheyAreAndGivenBack(t *testing.T) {
	for _, c := range []struct {
		protocol, optimizations string
		queue                   bool
	}{
		{"grpc", "all", true}, {"grpc", "all", false}, {"grpc", "none", true}, {"grpc", "none", false},
		{"http/protobuf", "all", true}, {"http/protobuf", "all", false}, {"http/json", "all", true}, {"http/json", "all", false},
	} {
		t.Run(fmt.Sprintf("%s/optimizations=%s/queue=%v", c.protocol, c.optimizations, c.queue), func(t *testing.T) {
			endpoint, url, sink := startReceivers(t, nil)
			if c.protocol != "grpc" {
				endpoint = url
			}
			cfg := newConfig(t, map[string]any{
				"endpoint": endpoint, "protocol": c.protocol, "optimizations": c.optimizations, "sending_queue": map[string]any{"enabled": c.queue},
			})
			set := exportertest.NewNopSettings(NewFactory().Type())
			traces := newTracesExporter(t, set, cfg)
			metrics, err := NewFactory().CreateMetrics(context.Background(), set, cfg)
			require.NoError(t, err)
			logs, err := NewFactory().CreateLogs(context.Background(), set, cfg)
			require.NoError(t, err)
			for _, e := range []component.Component{traces, metrics, logs} {
				require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
			}

			callers := bufpool.New(bufpool.DefaultConfig())
			send := func(r *wire.Request, err error, consume func(context.Context) error) {
				require.NoError(t, err)
				require.NoError(t, consume(bytepath.NewContext(context.Background(), r)))
				r.Free() // the caller's right, as soon as the call has returned
			}
			r, err := wire.FromTraces(spans(2000), callers)
			send(r, err, func(ctx context.Context) error { return traces.ConsumeTraces(ctx, bytepath.TracesMarker()) })
			r, err = wire.FromMetrics(dataPoints(2000), callers)
			send(r, err, func(ctx context.Context) error { return metrics.ConsumeMetrics(ctx, bytepath.MetricsMarker()) })
			r, err = wire.FromLogs(logRecords(2000), callers)
			send(r, err, func(ctx context.Context) error { return logs.ConsumeLogs(ctx, bytepath.LogsMarker()) })

			// The shutdown sends what is queued.
			for _, e := range []component.Component{traces, metrics, logs} {
				require.NoError(t, e.Shutdown(context.Background()))
			}
			require.Len(t, sink.traces.AllTraces(), 1)
			assert.Equal(t, spans(2000), sink.traces.AllTraces()[0])
			require.Len(t, sink.metrics.AllMetrics(), 1)
			assert.Equal(t, dataPoints(2000), sink.metrics.AllMetrics()[0])
			require.Len(t, sink.logs.AllLogs(), 1)
			assert.Equal(t, logRecords(2000), sink.logs.AllLogs()[0])
			assert.Zero(t, callers.Stats().InUse, "every buffer is returned")
			callers.Close()
		})
	}
}

// What a backend says is told alike, and the buffers are given back.
func TestEncodedRequestsFailAsOthersDo(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.PermissionDenied} {
		endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
			return ptraceotlp.NewExportResponse(), status.Error(code, "no")
		})
		e := startTracesExporter(t, map[string]any{
			"endpoint": endpoint, "sending_queue": map[string]any{"enabled": false}, "retry_on_failure": map[string]any{"enabled": false},
		})
		decoded := e.ConsumeTraces(context.Background(), spans(10))
		require.Error(t, decoded)

		callers := bufpool.New(bufpool.DefaultConfig())
		r, err := wire.FromTraces(spans(10), callers)
		require.NoError(t, err)
		err = e.ConsumeTraces(bytepath.NewContext(context.Background(), r), bytepath.TracesMarker())
		r.Free()
		assert.Equal(t, decoded.Error(), err.Error(), code)
		assert.Equal(t, status.Code(decoded), status.Code(err), code)
		assert.Equal(t, consumererror.IsPermanent(decoded), consumererror.IsPermanent(err), code)
		assert.Zero(t, callers.Stats().InUse, code)
		callers.Close()
	}
}

func TestAMarkerWithoutBytesIsAnError(t *testing.T) {
	e := startTracesExporter(t, map[string]any{"endpoint": "127.0.0.1:1"})
	require.ErrorIs(t, e.ConsumeTraces(context.Background(), bytepath.TracesMarker()), bytepath.ErrNoBytes)
}
