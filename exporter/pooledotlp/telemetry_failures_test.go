package pooledotlp

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// faultyConnections is a backend that is bad to the first two connections it sees: calls on the first fail, and on the second it says
// that it does not serve.
type faultyConnections struct {
	mu    sync.Mutex
	order []string
}

func (f *faultyConnections) place(ctx context.Context) int {
	p, _ := peer.FromContext(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, address := range f.order {
		if address == p.Addr.String() {
			return i
		}
	}
	f.order = append(f.order, p.Addr.String())
	return len(f.order) - 1
}

func (f *faultyConnections) export(ctx context.Context, _ ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	if f.place(ctx) == 0 {
		return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "not on this connection")
	}
	return ptraceotlp.NewExportResponse(), nil
}

func (f *faultyConnections) check(_ any, stream grpc.ServerStream) error {
	answer := healthpb.HealthCheckResponse_SERVING
	if f.place(stream.Context()) == 1 {
		answer = healthpb.HealthCheckResponse_NOT_SERVING
	}
	if err := stream.RecvMsg(&healthpb.HealthCheckRequest{}); err != nil {
		return err
	}
	return stream.SendMsg(&healthpb.HealthCheckResponse{Status: answer})
}

func TestMetricsTellOfConnectionsThatFail(t *testing.T) {
	backend := &faultyConnections{}
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{
		"endpoint": startBackend(t, backend.export, grpc.UnknownServiceHandler(backend.check)),
		"pool": map[string]any{
			"min_connections": 5, "health_check": map[string]any{"interval": "10ms"}, "ejection": map[string]any{"base_time": "1h"},
		},
		"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms"},
	}))
	startComponent(t, e, componenttest.NewNopHost())
	ctx, _ := observed(context.Background())
	states := func() map[string]int64 {
		m, err := tel.GetMetric("otelcol_exporter_pooledotlp_connections")
		require.NoError(t, err)
		return byAttribute(t, m, "state")
	}
	want := map[string]int64{"ready": 3, "connecting": 0, "ejected": 1, "unhealthy": 1}
	reached := func() bool { // the connection that is replaced goes last
		return assert.ObjectsAreEqual(want, states()) && sumOf(t, tel, "otelcol_exporter_pooledotlp_connections_closed") == 1
	}
	for deadline := time.Now().Add(20 * time.Second); !reached() && time.Now().Before(deadline); {
		require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
	}
	assert.Equal(t, want, states())
	assert.EqualValues(t, 1, sumOf(t, tel, "otelcol_exporter_pooledotlp_ejections"))
	assert.EqualValues(t, 6, sumOf(t, tel, "otelcol_exporter_pooledotlp_connections_opened"))
	assert.EqualValues(t, 1, sumOf(t, tel, "otelcol_exporter_pooledotlp_connections_closed"))
	assert.Positive(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_failed_health_checks"))
	assert.Positive(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_buffer_hits"))
	assert.Equal(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_attempts"), sumOf(t, tel, "otelcol_exporter_pooledotlp_picks"))
	attempts, err := tel.GetMetric("otelcol_exporter_pooledotlp_attempts")
	require.NoError(t, err)
	assert.Equal(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_retries"), byAttribute(t, attempts, "outcome")["unavailable"])
}

func TestTheQueueAndWhatIsInFlightAreMeasured(t *testing.T) {
	called, goOn := make(chan struct{}, 10), make(chan struct{})
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		called <- struct{}{}
		<-goOn
		return ptraceotlp.NewExportResponse(), nil
	})
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"num_consumers": 1, "queue_size": 77},
	}))
	startComponent(t, e, componenttest.NewNopHost())
	for range 4 {
		require.NoError(t, e.ConsumeTraces(context.Background(), spans(1)))
	}
	<-called
	assert.EqualValues(t, 1, sumOf(t, tel, "otelcol_exporter_pooledotlp_in_flight"))
	assert.EqualValues(t, 77, sumOf(t, tel, "otelcol_exporter_queue_capacity"))
	assert.EqualValues(t, 4, sumOf(t, tel, "otelcol_exporter_queue_size"), "what is being sent counts until it is there")
	close(goOn)
	require.Eventually(t, func() bool { return sumOf(t, tel, "otelcol_exporter_queue_size") == 0 }, 10*time.Second, time.Millisecond)
}

func TestTheStatusReachesTheHost(t *testing.T) {
	backend := newCounting()
	backend.failing.Store(true)
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
		"endpoint": startBackend(t, backend.export), "retry_on_failure": map[string]any{"enabled": false},
	}))
	host := newStatusHost()
	startComponent(t, e, host)
	ctx, _ := observed(context.Background())
	require.Error(t, e.ConsumeTraces(ctx, spans(1)))
	b := e.(tracesExporter).sender.backend
	b.mu.Lock()
	b.failingSince = b.failingSince.Add(-awayAfter)
	b.mu.Unlock()
	require.Error(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, host.statuses())
	backend.failing.Store(false)
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, host.statuses())
}
