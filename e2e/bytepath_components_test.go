package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// carriers are the components that leave requests encoded.
var carriers = []string{"memory_limiter", "adaptivebatch", "pooledotlp"}

// inserted is a component of the distribution in a pipeline of its own, behind a pooledotlp receiver.
type inserted struct {
	kind, name string // for example "processor" and "batch"
	receiver   string
	endpoint   string
	signal     string
	first      int // of the numbers sent to it
}

func (i inserted) carries() bool { return slices.Contains(carriers, i.name) }

// withEveryComponent returns a configuration that has a receiver for each processor, exporter and connector of the distribution. What each
// passes on goes to the backend.
func withEveryComponent(t *testing.T, decode, backend string) (config string, all []inserted) {
	t.Helper()
	shipped := readYAML[map[string]map[string]any](t, "e2e/testdata/all-components.yaml")
	// Those that would change the numbered items are given something else to do.
	shipped["processors"]["attributes"] = map[string]any{"actions": []any{map[string]any{"key": "absent", "action": "delete"}}}
	shipped["processors"]["transform"] = map[string]any{"trace_statements": []any{"set(span.kind, 1)"}}
	shipped["exporters"]["pooledotlp/backend"] = map[string]any{"endpoint": backend, "tls": map[string]any{"insecure": true}}
	shipped["exporters"]["pooledotlp"] = map[string]any{"endpoint": backend, "tls": map[string]any{"insecure": true}}

	receivers, pipelines := map[string]any{}, map[string]any{}
	extensions := []any{"file_storage", "oauth2client", "headers_setter", "alertmanager"}
	for _, kind := range []string{"processor", "exporter", "connector"} {
		for _, name := range slices.Sorted(maps.Keys(shipped[kind+"s"])) {
			if strings.Contains(name, "/") {
				continue
			}
			i := inserted{
				kind: kind, name: name, receiver: "pooledotlp/" + kind + "_" + name, endpoint: freeAddress(t),
				signal: "traces", first: 1000 * len(all),
			}
			processors, exporters := []any{"adaptivebatch"}, []any{"pooledotlp/backend"}
			switch {
			case kind == "processor":
				processors = []any{name, "adaptivebatch"}
				if name == "adaptivebatch" {
					processors = processors[1:]
				}
			case name == "forward":
				exporters = []any{name}
				pipelines["traces/out"] = map[string]any{"receivers": []any{name}, "exporters": []any{"pooledotlp/backend"}}
			case name == "span_metrics":
				exporters = append(exporters, name)
				pipelines["metrics/out"] = map[string]any{"receivers": []any{name}, "exporters": []any{"pooledotlp/backend"}}
			case name == "pooledotlp":
				exporters = []any{name}
			default:
				exporters = append(exporters, name)
			}
			if name == "prometheus" || name == "alertrules" {
				i.signal = "metrics"
			}
			receivers[i.receiver] = map[string]any{
				"decode": decode, "protocols": map[string]any{"grpc": map[string]any{"endpoint": i.endpoint}},
			}
			pipelines[i.signal+"/"+kind+"_"+name] = map[string]any{
				"receivers": []any{i.receiver}, "processors": processors, "exporters": exporters,
			}
			all = append(all, i)
		}
	}
	used := map[string]any{}
	for _, id := range extensions {
		used[id.(string)] = shipped["extensions"][id.(string)]
	}
	content, err := yaml.Marshal(map[string]any{
		"receivers": receivers, "processors": shipped["processors"], "exporters": shipped["exporters"], "connectors": shipped["connectors"],
		"extensions": used, "service": map[string]any{
			"extensions": extensions, "telemetry": shipped["service"]["telemetry"], "pipelines": pipelines,
		},
	})
	require.NoError(t, err)
	// `decode` is a boolean or a word.
	return strings.NewReplacer(`decode: "false"`, "decode: false", `decode: "true"`, "decode: true").Replace(string(content)), all
}

// TestDecodeFalseIsRefusedBehindEveryOtherComponent: one run of `validate` names each of them.
func TestDecodeFalseIsRefusedBehindEveryOtherComponent(t *testing.T) {
	t.Parallel()
	config, all := withEveryComponent(t, "false", "127.0.0.1:1")
	output, code := run(t, distribution(t), "validate", "--config", writeConfig(t, config))
	assert.NotZero(t, code)
	require.Greater(t, len(all), 18)
	for _, i := range all {
		kind := i.kind
		if kind == "connector" {
			kind = "exporter" // at this end of the pipeline it is one
		}
		refusal := fmt.Sprintf("receivers::%s::decode: `false` needs pipelines that leave requests encoded, but %s %q in pipeline %q looks into them",
			i.receiver, kind, i.name, i.signal+"/"+i.kind+"_"+i.name)
		if i.carries() {
			assert.NotContains(t, output, i.receiver)
		} else {
			assert.Contains(t, output, refusal)
		}
	}
}

// TestNoComponentLosesWhatItAcknowledges sends through every component of the distribution at once.
func TestNoComponentLosesWhatItAcknowledges(t *testing.T) {
	t.Parallel()
	const items = 100
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	directory := t.TempDir()
	config, all := withEveryComponent(t, "auto", backend)
	c := startProcess(t, distribution(t), p, []string{
		"METRICS_PORT=" + p.metrics[strings.LastIndex(p.metrics, ":")+1:], "DIRECTORY=" + directory,
		"PROMETHEUS_ENDPOINT=" + freeAddress(t), "ALERTS_ENDPOINT=" + freeAddress(t),
	}, "--config", writeConfig(t, config))

	var spans, points []int
	for _, i := range all {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if i.signal == "metrics" {
			connection, err := grpc.NewClient(i.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
			require.NoError(t, err)
			_, err = pmetricotlp.NewGRPCClient(connection).Export(ctx, pmetricotlp.NewExportRequestFromMetrics(numberedMetrics(i.first, items)))
			require.NoError(t, err, i.receiver)
			require.NoError(t, connection.Close())
			points = append(points, sequence(i.first, items)...)
		} else {
			require.NoError(t, newClient(t, i.endpoint).send(ctx, i.first, items), i.receiver)
			spans = append(spans, sequence(i.first, items)...)
		}
		cancel()
	}
	require.Eventually(t, func() bool { // some answer before they send
		arrived.mu.Lock()
		defer arrived.mu.Unlock()
		return len(arrived.spans) >= len(spans) && len(arrived.points) >= len(points)
	}, 30*time.Second, 50*time.Millisecond)
	requireExactlyOnce(t, arrived, arrived.spans, spans)
	requireExactlyOnce(t, arrived, arrived.points, points)

	for _, i := range all {
		want := 0
		if i.carries() {
			want = 1
		}
		_, body := get(t, "http://"+p.metrics+"/metrics")
		assert.Contains(t, body, fmt.Sprintf("%s{data_type=%q,receiver=%q} %d\n", byteMetric, i.signal, i.receiver, want))
	}
	// Exporters that can be looked into had the telemetry and not an empty value.
	require.Eventually(t, func() bool {
		file, err := os.ReadFile(filepath.Join(directory, "telemetry.json"))
		return err == nil && strings.Count(string(file), `"span `) == items
	}, 10*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(c.log(), `"spans": 100`) }, 10*time.Second, 50*time.Millisecond, "debug")
}
