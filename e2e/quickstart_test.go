package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMakeRunConfigurationShowsWhatArrives starts collector-config.yaml as `make run` does, only on free ports: what is sent
// to it is printed by its embedded backend, and every page that the console names answers.
func TestMakeRunConfigurationShowsWhatArrives(t *testing.T) {
	t.Parallel()
	c, zpages := startShipped(t, freeAddress(t))

	require.NoError(t, newClient(t, c.grpc).send(t.Context(), 7, 1))
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(c.log(), "span 7") && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond) // the line passes through a pipe
	}
	assert.Contains(t, c.log(), "span 7", "the embedded backend prints what arrived")

	for _, page := range []string{c.health, c.metrics + "/metrics", zpages + "/debug/pipelinez"} {
		status, _ := get(t, "http://"+page)
		assert.Equal(t, http.StatusOK, status, page)
	}
	signals, _ := c.metric(t, byteMetric)
	assert.EqualValues(t, 3, signals, "all three signals stay bytes")
	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 45*time.Second)
	assert.NoError(t, c.exitErr)
}

// TestMakeRunConfigurationSendsToTheNamedBackend: BACKEND_ENDPOINT replaces the embedded backend.
func TestMakeRunConfigurationSendsToTheNamedBackend(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	c, _ := startShipped(t, freeAddress(t), "BACKEND_ENDPOINT="+backend)

	require.NoError(t, newClient(t, c.grpc).send(t.Context(), 0, 25))

	requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 25))
}

func startShipped(t *testing.T, embedded string, environment ...string) (c *collector, zpages string) {
	t.Helper()
	return startShippedWith(t, embedded, freeAddress(t), environment...)
}

// startShippedWith is startShipped with the address of the alerts.
func startShippedWith(t *testing.T, embedded, alerts string, environment ...string) (c *collector, zpages string) {
	t.Helper()
	shipped, err := filepath.Abs(filepath.Join(repository, "collector-config.yaml"))
	require.NoError(t, err)
	p, zpages := freePorts(t), freeAddress(t)
	arguments := []string{componentStatus, "--config", shipped}
	for key, value := range map[string]string{
		"receivers::pooledotlp::protocols::grpc::endpoint":   p.grpc,
		"receivers::pooledotlp::protocols::http::endpoint":   p.http,
		"receivers::otlp/arrived::protocols::grpc::endpoint": embedded,
		"extensions::health_check::endpoint":                 p.health,
		"extensions::zpages::endpoint":                       zpages,
		"extensions::alertmanager::http::endpoint":           alerts,
		"receivers::selfmetrics":                             `{collection_interval: 1s, telemetry: {endpoint: "http://` + p.metrics + `/metrics"}}`,
		"service::telemetry::metrics::readers": "[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: " +
			p.metrics[strings.LastIndex(p.metrics, ":")+1:] + "}}}}]",
	} {
		arguments = append(arguments, "--config", "yaml:"+key+": "+value)
	}
	if len(environment) == 0 {
		arguments = append(arguments, "--config", "yaml:exporters::pooledotlp::endpoint: "+embedded)
	}
	return startProcess(t, distribution(t), p, environment, arguments...), zpages
}
