package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestForeignBuildWithOurDataPathOnly builds examples/ocb with ocb, as somebody with a distribution of their own does, and
// sends numbered items through it.
func TestForeignBuildWithOurDataPathOnly(t *testing.T) {
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
	require.NoError(t, os.WriteFile(manifest, []byte(local), 0o600))

	log, code := run(t, builder, "--config", manifest)
	require.Zero(t, code, log)
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	startProcess(t, filepath.Join(output, "otelcol-mine"), p, []string{
		"OTLP_GRPC_ENDPOINT=" + p.grpc, "BACKEND_ENDPOINT=" + backend,
		"METRICS_PORT=" + p.metrics[strings.LastIndex(p.metrics, ":")+1:],
	}, "--config", filepath.Join(root, "examples/ocb/collector-config.yaml"))

	require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 333))

	requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 333))
}
