package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

// TestForeignBuildWithTheByteReceiver builds somebody else's distribution with receiver/pooledotlp, with converter/bytepath and without it.
func TestForeignBuildWithTheByteReceiver(t *testing.T) {
	t.Parallel()
	builder := binary(t, ".tools/builder", ".tools/builder")
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	example, err := os.ReadFile(filepath.Join(root, "examples/ocb/builder-config.yaml"))
	require.NoError(t, err)
	const ours = "  - gomod: github.com/otelcol-adaptive/otelcol-adaptive v0.1.0\n    import: github.com/otelcol-adaptive/otelcol-adaptive/"
	build := func(t *testing.T, converter string) (program string) {
		output := t.TempDir()
		manifest := filepath.Join(output, "builder-config.yaml")
		text := strings.Replace(string(example), "output_path: ./otelcol-mine", "output_path: "+output, 1)
		text = strings.Replace(text, "receivers:\n", "receivers:\n"+ours+"receiver/pooledotlp\n", 1)
		text = strings.Replace(text, "providers:\n", "providers:\n  - gomod: go.opentelemetry.io/collector/confmap/provider/yamlprovider v1.67.0\n", 1)
		text += converter + "\nreplaces:\n  - github.com/otelcol-adaptive/otelcol-adaptive => " + root + "\n"
		require.NoError(t, os.WriteFile(manifest, []byte(text), 0o600))
		log, code := run(t, builder, "--config", manifest)
		require.Zero(t, code, log)
		return filepath.Join(output, "otelcol-mine")
	}
	// Starts it and returns whether the traces sent through it stayed encoded.
	path := func(t *testing.T, program string, overrides ...string) float64 {
		backend := freeAddress(t)
		arrived, _ := startBackend(t, backend)
		p := freePorts(t)
		c := startCollector(t, program, p, withoutExtensions(p.pooledReceiver(backend)), overrides...)
		require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 333))
		requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 333))
		signals, found := c.metric(t, byteMetric)
		require.True(t, found)
		return signals
	}
	t.Run("with the converter", func(t *testing.T) {
		program := build(t, "converters:\n"+ours+"converter/bytepath\n")
		assert.EqualValues(t, 3, path(t, program))
		assert.EqualValues(t, 3, path(t, program, "--config", "yaml:receivers::pooledotlp::decode: false"))
		assert.Zero(t, path(t, program, "--config", "yaml:receivers::pooledotlp::decode: true"))
	})
	t.Run("without it", func(t *testing.T) {
		program := build(t, "")
		assert.Zero(t, path(t, program), "auto decodes")
		config := writeConfig(t, withoutExtensions(freePorts(t).pooledReceiver("127.0.0.1:1")))
		for override, words := range map[string][]string{
			"receivers::pooledotlp::decode: false":                 {"`decode: false`", "bytepath converter", "`converters`", "`decode: auto`"},
			"receivers::pooledotlp::decode: verified":              {"`decode`", `"verified"`, "built without it"},
			"receivers::pooledotlp::decode: 'verified:traces'":     {"`decode`", `"verified:traces"`, "built without it"},
			"processors::adaptivebatch: {encode: verified}":        {"encode must be auto or false", `"verified"`, "built without it"},
			"receivers::pooledotlp::decode: 'verified:profiles,x'": {"`decode`", "built without it"},
		} {
			for _, command := range [][]string{{"validate"}, {}} {
				output, code := run(t, program, append(command, "--config", config, "--config", "yaml:"+override)...)
				assert.NotZero(t, code, override)
				for _, word := range words {
					assert.Contains(t, output, word)
				}
				assert.NotContains(t, output, "Everything is ready")
			}
		}
	})
}

// withoutExtensions is a configuration for builds that have none.
func withoutExtensions(config string) string {
	return regexp.MustCompile(`(?m)^extensions:\n.*\n|^  extensions: .*\n`).ReplaceAllString(config, "")
}
