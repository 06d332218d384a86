package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestForeignBuild builds examples/ocb with ocb, as somebody with a distribution of their own does, and sends numbered items
// through it. Beside our two components of the data path the build has selfmetrics, which must tell what that Collector does.
func TestForeignBuild(t *testing.T) {
	t.Parallel()
	builder := binary(t, ".tools/builder", ".tools/builder")
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "examples/ocb/builder-config.yaml"))
	require.NoError(t, err)
	output := t.TempDir()
	manifest := filepath.Join(output, "builder-config.yaml")
	// The example builds a released version; the test builds this work tree instead.
	local := string(text) + "\nreplaces:\n  - github.com/otelcol-adaptive/otelcol-adaptive => " + root + "\n"
	local = strings.Replace(local, "output_path: ./otelcol-mine", "output_path: "+output, 1)
	local = strings.Replace(local, "receivers:\n", "receivers:\n  - gomod: github.com/otelcol-adaptive/otelcol-adaptive v0.1.0\n"+
		"    import: github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics\n", 1)
	require.NoError(t, os.WriteFile(manifest, []byte(local), 0o600))

	log, code := run(t, builder, "--config", manifest)
	require.Zero(t, code, log)
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	self := filepath.Join(output, "self.yaml")
	require.NoError(t, os.WriteFile(self, fmt.Appendf(nil, `
receivers: {selfmetrics: {collection_interval: 1s, initial_delay: 0s, telemetry: {endpoint: "http://%s/metrics"}}}
service: {pipelines: {metrics/self: {receivers: [selfmetrics], exporters: [pooledotlp]}}}
`, p.metrics), 0o600))
	startProcess(t, filepath.Join(output, "otelcol-mine"), p, []string{
		"OTLP_GRPC_ENDPOINT=" + p.grpc, "BACKEND_ENDPOINT=" + backend,
		"METRICS_PORT=" + p.metrics[strings.LastIndex(p.metrics, ":")+1:],
	}, "--config", filepath.Join(root, "examples/ocb/collector-config.yaml"), "--config", self)

	require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 333))

	requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 333))
	for _, name := range []string{"otelcol.self.throughput", "otelcol.self.export.latency", "otelcol.self.batch.target", "process.cpu.time", "system.cpu.time"} {
		require.Eventually(t, func() bool { return arrived.named(name) }, 20*time.Second, 100*time.Millisecond, name)
	}
}
