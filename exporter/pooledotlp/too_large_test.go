package pooledotlp

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch"
)

// oneHuge makes n spans of which one is larger than all others together.
func oneHuge(n int) ptrace.Traces {
	td := spans(n)
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(n/2).Attributes().PutStr("payload", string(make([]byte, 10_000)))
	return td
}

// startLimited starts backends for gRPC and HTTP that take no request of more than 3000 bytes.
func startLimited(t *testing.T, backend *counting) (grpcEndpoint, url string) {
	t.Helper()
	return startBackend(t, backend.export, grpc.MaxRecvMsgSize(3000)), startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		if len(body) > 3000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		request := ptraceotlp.NewExportRequest()
		assert.NoError(t, request.UnmarshalProto(body))
		_, _ = backend.export(context.Background(), request)
	})
}

// A resource that is larger than all spans together is not repeated. What is left out of the request nevertheless makes it a new one.
func TestWhatIsTooLargeAndNotDividedIsGivenBack(t *testing.T) {
	endpoint := startBackend(t, accept, grpc.MaxRecvMsgSize(3000))
	e := startTracesExporter(t, map[string]any{
		"endpoint": endpoint, "compression": "none", "sending_queue": map[string]any{"enabled": false},
	})
	td := spans(10)
	td.ResourceSpans().At(0).Resource().Attributes().PutStr("payload", string(make([]byte, 2*wire.FreeRepeats)))
	encoded, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	unknown := []byte{15<<3 | 2, 1, 'x'}
	r, err := wire.Check(wire.Traces, mem.BufferSlice{mem.SliceBuffer(append(encoded, unknown...))})
	require.NoError(t, err)
	err = e.ConsumeTraces(bytepath.NewContext(context.Background(), r), bytepath.TracesMarker())
	r.Free()
	assert.True(t, consumererror.IsPermanent(err), err)
	assert.Zero(t, e.(tracesExporter).pooled.Stats().InUse)
}

func TestWhatIsTooLargeIsSentInParts(t *testing.T) {
	backend := newCounting()
	grpcEndpoint, url := startLimited(t, backend)
	for name, keys := range map[string]map[string]any{
		"gRPC, queue":    {"endpoint": grpcEndpoint},
		"gRPC, no queue": {"endpoint": grpcEndpoint, "sending_queue": map[string]any{"enabled": false}},
		"gRPC, batches":  {"endpoint": grpcEndpoint, "sending_queue": map[string]any{"batch": map[string]any{"min_size": 1000, "flush_timeout": "1h"}}},
		"HTTP":           {"endpoint": url, "protocol": "http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			backend.mu.Lock()
			clear(backend.seen)
			backend.mu.Unlock()
			set, tel := measuredSettings(t)
			keys["compression"] = "none"
			e := newTracesExporter(t, set, newConfig(t, keys))
			require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
			err := e.ConsumeTraces(context.Background(), oneHuge(200))
			queued := e.(tracesExporter).queued != nil
			assert.Equal(t, queued, err == nil, "without a queue the caller hears of the one that did not arrive")
			require.NoError(t, e.Shutdown(context.Background()))

			assert.Len(t, backend.seen, 199)
			for name, times := range backend.seen {
				assert.Equal(t, 1, times, name)
			}
			if queued {
				dropped, err := tel.GetMetric("otelcol_exporter_pooledotlp_dropped_items")
				require.NoError(t, err)
				assert.Equal(t, map[string]int64{dropTooLarge: 1}, byAttribute(t, dropped, "reason"))
			}
			assert.Zero(t, e.(tracesExporter).pooled.Stats().InUse)
		})
	}
}

func TestOfWhatIsSentInPartsWhatCanBeSentAgainCounts(t *testing.T) {
	for name, away := range map[string]string{"last": "span 199", "first": "span 0"} {
		t.Run(name, func(t *testing.T) {
			endpoint := startBackend(t, func(_ context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
				for _, span := range r.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
					if span.Name() == away {
						return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "away")
					}
				}
				return ptraceotlp.NewExportResponse(), nil
			}, grpc.MaxRecvMsgSize(3000))
			e := startTracesExporter(t, map[string]any{
				"endpoint": endpoint, "compression": "none",
				"retry_on_failure": map[string]any{"enabled": false}, "sending_queue": map[string]any{"enabled": false},
			})
			err := e.ConsumeTraces(context.Background(), oneHuge(200))
			assert.Equal(t, codes.Unavailable, status.Code(err))
			assert.False(t, consumererror.IsPermanent(err))
		})
	}
}

func TestABatcherHearsThatItsBatchIsTooLarge(t *testing.T) {
	endpoint := startBackend(t, accept, grpc.MaxRecvMsgSize(3000))
	e := startTracesExporter(t, map[string]any{"endpoint": endpoint, "compression": "none"})
	ctx, seen := observed(context.Background())
	err := e.ConsumeTraces(ctx, spans(200))
	st, _ := status.FromError(err)
	assert.Equal(t, codes.InvalidArgument, st.Code())
	assert.Equal(t, []attempt.Outcome{attempt.TooLarge}, seen.outcomes())
}

func TestABatcherDividesTheCallOfASingleClient(t *testing.T) {
	grpcBackend, httpBackend := newCounting(), newCounting()
	grpcEndpoint, _ := startLimited(t, grpcBackend)
	_, url := startLimited(t, httpBackend)
	for name, c := range map[string]struct {
		backend *counting
		keys    map[string]any
	}{
		"gRPC": {grpcBackend, map[string]any{"endpoint": grpcEndpoint}},
		"HTTP": {httpBackend, map[string]any{"endpoint": url, "protocol": "http/protobuf"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.keys["compression"] = "none"
			factory := adaptivebatch.NewFactory()
			batch, err := factory.CreateTraces(context.Background(), processortest.NewNopSettings(factory.Type()),
				factory.CreateDefaultConfig(), startTracesExporter(t, c.keys))
			require.NoError(t, err)
			startComponent(t, batch, componenttest.NewNopHost())
			require.True(t, consumererror.IsPermanent(batch.ConsumeTraces(context.Background(), oneHuge(200))), "of the one that did not arrive")
			assert.Len(t, c.backend.seen, 199)
		})
	}
}
