package e2e

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// componentStatus makes health_check answer with the components' own status.
const componentStatus = "--feature-gates=extension.healthcheck.useComponentStatus"

// healthByStatus turns a recoverable error of a component into an unhealthy answer at once.
func healthByStatus(p ports) string {
	return `yaml:{extensions: {health_check: {http: {endpoint: "` + p.health + `", status: {enabled: true, path: "/status"}}, ` +
		`component_health: {include_permanent_errors: true, include_recoverable_errors: true, recovery_duration: 0s}}}}`
}

// TestBackendAwayThenBack: while the backend is away, senders get a retryable error, memory keeps to the configured bytes
// and the exporter's status says so; when it is back, everything acknowledged is there.
func TestBackendAwayThenBack(t *testing.T) {
	t.Parallel()
	const pendingLimit = 4 << 20
	backend := freeAddress(t)
	p := freePorts(t)
	c := startCollector(t, distribution(t), p, p.mainJob(backend), componentStatus, "--config", healthByStatus(p),
		"--config", "yaml:processors::adaptivebatch: {max_pending_bytes: 4194304, max_waiting_bytes: 4194304, max_wait: 2s}",
		"--config", "yaml:exporters::pooledotlp::retry_on_failure: {initial_interval: 100ms, max_interval: 500ms}")
	before := c.residentBytes(t)

	err := newClient(t, p.grpc).send(t.Context(), 90_000_000, 10)
	require.Equal(t, codes.Unavailable, status.Code(err), "a retryable error, within max_wait: %v", err)

	l := startLoad(t, p.grpc, 100, 500)
	unhealthy := awaitHealth(t, p, false, 30*time.Second)
	assert.Contains(t, unhealthy, "pooledotlp")
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		pending, found := c.metric(t, "otelcol_processor_adaptivebatch_pending_bytes")
		require.True(t, found, "the metric of the pending bytes")
		require.LessOrEqual(t, pending, float64(pendingLimit))
	}
	acknowledged, refused := l.progress()
	assert.Zero(t, acknowledged, "acknowledged with no backend")
	assert.NotZero(t, refused)
	// What is pending is held decoded, which costs several times its encoded size; so do 100 requests being received.
	assert.Less(t, c.residentBytes(t)-before, int64(300<<20))

	arrived, _ := startBackend(t, backend)
	awaitProgress(t, l, acknowledged+100*500, 60*time.Second)
	awaitHealth(t, p, true, 30*time.Second)
	l.stop()
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	assert.Empty(t, missing(arrived.spans, l.acknowledged), "acknowledged and lost")
	assert.Zero(t, arrived.broken)
}

func awaitHealth(t *testing.T, p ports, healthy bool, limit time.Duration) (body string) {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var code int
		if code, body = get(t, "http://"+p.health+"/status?verbose"); (code == http.StatusOK) == healthy {
			return body
		}
	}
	require.FailNow(t, "the health did not change", "healthy is not %v after %v: %s", healthy, limit, body)
	return ""
}

func awaitProgress(t *testing.T, l *load, want int, limit time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if acknowledged, _ := l.progress(); acknowledged >= want {
			return
		}
	}
	acknowledged, refused := l.progress()
	require.FailNow(t, "no progress", "%d acknowledged (want %d), %d refused after %v", acknowledged, want, refused, limit)
}

// TestTerminationWithADeadBackend: clients wait for answers that cannot come; the process exits in time and tells them.
func TestTerminationWithADeadBackend(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	c := startCollector(t, distribution(t), p, p.mainJob("127.0.0.1:1"))
	const clients = 20
	answers := make(chan error, clients)
	for i := range clients {
		waiting := newClient(t, p.grpc)
		go func() {
			call, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			answers <- waiting.send(call, i*10, 10)
		}()
	}
	awaitAccepted(t, c, clients*10)

	c.signal(t, syscall.SIGTERM)
	took := c.awaitExit(t, 45*time.Second)

	t.Logf("exited after %v", took)
	assert.NoError(t, c.exitErr)
	for range clients {
		assert.Error(t, <-answers)
	}
}

// awaitAccepted waits until adaptivebatch holds something of every client.
func awaitAccepted(t *testing.T, c *collector, items int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if pending, _ := c.metric(t, "otelcol_processor_adaptivebatch_pending_bytes"); pending >= float64(items*50) {
			return
		}
	}
	require.FailNow(t, "the Collector does not hold the clients' items")
}

// TestReloadUnderLoad: SIGHUP stops and starts every component in the running process.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	c := startCollector(t, distribution(t), p, p.mainJob(backend))
	l := startLoad(t, p.grpc, 16, 20)
	for range 3 {
		acknowledged, _ := l.progress()
		awaitProgress(t, l, acknowledged+2000, 30*time.Second)
		c.signal(t, syscall.SIGHUP)
		c.awaitReady(t)
	}
	acknowledged, _ := l.progress()
	awaitProgress(t, l, acknowledged+2000, 30*time.Second)
	l.stop()

	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 45*time.Second)
	assert.NoError(t, c.exitErr)
	for _, fault := range []string{"address already in use", "already registered", "duplicate", "panic"} {
		assert.NotContains(t, strings.ToLower(c.log()), fault)
	}
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	assert.Empty(t, missing(arrived.spans, l.acknowledged), "acknowledged and lost")
	assert.Zero(t, arrived.broken)
}
