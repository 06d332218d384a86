package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// moodyBackend takes what it gets, after a delay, or refuses it for good, or takes it and keeps nothing.
type moodyBackend struct {
	ptraceotlp.UnimplementedGRPCServer
	delay                 atomic.Int64 // nanoseconds
	refuses, keepsNothing atomic.Bool
}

func (b *moodyBackend) Export(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	if b.refuses.Load() {
		return ptraceotlp.NewExportResponse(), status.Error(codes.InvalidArgument, "not of this kind")
	}
	if b.keepsNothing.Load() {
		answer := ptraceotlp.NewExportResponse()
		answer.PartialSuccess().SetRejectedSpans(int64(r.Traces().SpanCount()))
		return answer, nil
	}
	select {
	case <-time.After(time.Duration(b.delay.Load())):
	case <-ctx.Done():
	}
	return ptraceotlp.NewExportResponse(), nil
}

func startMoodyBackend(t *testing.T) (*moodyBackend, string) {
	t.Helper()
	b, address := new(moodyBackend), freeAddress(t)
	b.serve(t, address)
	return b, address
}

// serve answers at the address until the test ends or away is called, after which it may be called again.
func (b *moodyBackend) serve(t *testing.T, address string) (away func()) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	ptraceotlp.RegisterGRPCServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return server.Stop
}

// builtinOnly is a Collector without a rule of its own: those that ship, fed by selfmetrics. Their times are those of a test, their
// thresholds those of a machine that is shared.
func builtinOnly(p ports, alerts, backend string) string {
	return fmt.Sprintf(`
receivers:
  otlp: {protocols: {grpc: {endpoint: %q}}}
  selfmetrics: {collection_interval: 500ms, initial_delay: 0s, telemetry: {endpoint: "http://%s/metrics"}}
processors:
  adaptivebatch: {max_concurrency: 4, max_pending_bytes: 67108864, max_waiting_bytes: 134217728}
exporters:
  pooledotlp: {endpoint: %q, tls: {insecure: true}, retry_on_failure: {enabled: false}}
  alertrules: {}
extensions:
  health_check: {endpoint: %q}
  alertmanager:
    http: {endpoint: %q}
    evaluation_interval: 1s
    builtin_rules:
      override:
        HighCPU: {threshold: 0.15, for: 1s}
        HighMemory: {threshold: 0.5, for: 1s, severity: page}
        SlowExport: {for: 1s}
        LowThroughput: {for: 1s}
        HighErrorRate: {for: 1s}
service:
  extensions: [health_check, alertmanager]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}
  pipelines:
    traces: {receivers: [otlp], processors: [adaptivebatch], exporters: [pooledotlp]}
    metrics/self: {receivers: [selfmetrics], exporters: [alertrules]}
`, p.grpc, p.metrics, backend, p.health, alerts, p.metrics[strings.LastIndex(p.metrics, ":")+1:])
}

// TestTheRulesThatShipFireAndRecover makes the binary slow, failing, busy and idle in turn.
func TestTheRulesThatShipFireAndRecover(t *testing.T) {
	t.Parallel()
	backend, address := startMoodyBackend(t)
	p, alerts := freePorts(t), freeAddress(t)
	path := writeConfig(t, builtinOnly(p, alerts, address))
	startProcess(t, distribution(t), p, []string{"GOMEMLIMIT=360MiB", "GOGC=25"}, "--config", path)
	awaitFiring := func(names ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			now := active(t, alerts)
			return !slices.ContainsFunc(names, func(name string) bool { _, fires := now[name]; return !fires })
		}, time.Minute, 200*time.Millisecond, "%v", names)
	}

	awaitOver := func(names ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			now := active(t, alerts)
			return !slices.ContainsFunc(names, func(name string) bool { _, fires := now[name]; return fires })
		}, 100*time.Second, 200*time.Millisecond, "%v", names)
	}

	// Slow: work waits at the door, and what waits takes memory.
	backend.delay.Store(int64(1500 * time.Millisecond))
	load := startLoad(t, p.grpc, 100, 10_000)
	awaitFiring("SlowExport", "LowThroughput", "HighMemory")
	load.stop()

	// Refused: clients are told. Lost: they are not.
	failing := func(direction string) bool {
		return len(selfMetric(t, alerts, fmt.Sprintf(`ALERTS{alertname="HighErrorRate", alertstate="firing", direction=%q}`, direction))) > 0
	}
	backend.delay.Store(0)
	backend.refuses.Store(true)
	load = startLoad(t, p.grpc, 2, 10)
	require.Eventually(t, func() bool { return failing("receive") }, time.Minute, 200*time.Millisecond)
	assert.False(t, failing("export"), "what clients are told is not lost")
	backend.keepsNothing.Store(true)
	backend.refuses.Store(false)
	require.Eventually(t, func() bool { return failing("export") }, time.Minute, 200*time.Millisecond)
	load.stop()

	backend.keepsNothing.Store(false)
	load = startLoad(t, p.grpc, 8, 1000)
	awaitFiring("HighCPU")
	awaitOver("SlowExport", "LowThroughput", "HighErrorRate") // by what is well again, not by what is silent
	load.stop()

	// Idle: memory goes back to the system little by little.
	awaitOver("HighCPU", "HighMemory")
	_, history := get(t, "http://"+alerts+"/api/v1/history")
	assert.Contains(t, history, "of the traces fail (export)")
	for _, name := range []string{"SlowExport", "LowThroughput", "HighMemory", "HighErrorRate", "HighCPU", `"page"`} {
		assert.Contains(t, history, name)
	}
}
