package e2e

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// kinds are the component classes of ocb's manifest, of the `components` command and of a configuration alike.
var kinds = []string{"receivers", "processors", "exporters", "connectors", "extensions"}

type manifest map[string]yaml.Node

// entries returns the manifest's module paths of one kind: the import path where there is one, else gomod's.
func (m manifest) entries(t *testing.T, kind string) []string {
	t.Helper()
	var modules []struct {
		GoMod  string `yaml:"gomod"`
		Import string `yaml:"import"`
	}
	node := m[kind]
	if node.Kind == 0 {
		return nil
	}
	require.NoError(t, node.Decode(&modules))
	var paths []string
	for _, module := range modules {
		if module.Import != "" {
			paths = append(paths, module.Import)
			continue
		}
		paths = append(paths, strings.Fields(module.GoMod)[0])
	}
	return paths
}

func readYAML[T any](t *testing.T, name string) (content T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &content))
	return content
}

// TestBinaryHoldsWhatTheManifestSays: every entry of builder-config.yaml is a component of the binary and the other way
// round, is used in testdata/all-components.yaml, and has its line in docs/distribution.md.
func TestBinaryHoldsWhatTheManifestSays(t *testing.T) {
	t.Parallel()
	output, code := run(t, distribution(t), "components")
	require.Zero(t, code, output)
	var binary map[string]yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(output), &binary))
	built := readYAML[manifest](t, "builder-config.yaml")
	all := readYAML[map[string]yaml.Node](t, "e2e/testdata/all-components.yaml")
	table, err := os.ReadFile(filepath.Join(repository, "docs/distribution.md"))
	require.NoError(t, err)

	for _, kind := range kinds {
		var components []struct {
			Name   string `yaml:"name"`
			Module string `yaml:"module"`
		}
		node := binary[kind]
		require.NoError(t, node.Decode(&components))
		assert.Len(t, components, len(built.entries(t, kind)), "%s in the binary and in builder-config.yaml", kind)

		var configured map[string]yaml.Node
		node = all[kind]
		require.NoError(t, node.Decode(&configured))
		var names, used []string
		for _, component := range components {
			names = append(names, component.Name)
		}
		for id := range configured {
			used = append(used, strings.Split(id, "/")[0])
		}
		slices.Sort(names)
		slices.Sort(used)
		assert.Equal(t, names, slices.Compact(used), "%s in the binary and in all-components.yaml", kind)
	}
	for _, kind := range append(slices.Clone(kinds), "converters", "providers") {
		for _, entry := range built.entries(t, kind) {
			assert.Contains(t, string(table), "`"+path.Base(entry)+"`", "docs/distribution.md has no line for %s", entry)
		}
	}
}

// TestAllComponentsStartServeAndStop starts every component of the binary at once.
func TestAllComponentsStartServeAndStop(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	directory := t.TempDir()
	config, err := filepath.Abs("testdata/all-components.yaml")
	require.NoError(t, err)
	c := startProcess(t, distribution(t), p, []string{
		"OTLP_GRPC_ENDPOINT=" + p.grpc, "OTLP_HTTP_ENDPOINT=" + p.http, "HEALTH_ENDPOINT=" + p.health,
		"METRICS_PORT=" + p.metrics[strings.LastIndex(p.metrics, ":")+1:], "DIRECTORY=" + directory,
		"POOLED_GRPC_ENDPOINT=" + freeAddress(t), "PROMETHEUS_ENDPOINT=" + freeAddress(t), "ZPAGES_ENDPOINT=" + freeAddress(t), "PPROF_ENDPOINT=" + freeAddress(t), "ALERTS_ENDPOINT=" + freeAddress(t),
	}, "--config", config)

	status, _ := get(t, "http://"+p.health)
	assert.Equal(t, http.StatusOK, status)
	_, found := c.metric(t, "otelcol_process_uptime_seconds_total")
	if !found {
		_, found = c.metric(t, "otelcol_process_uptime")
	}
	assert.True(t, found, "the Collector's own metrics")

	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 45*time.Second)
	assert.NoError(t, c.exitErr)
}
