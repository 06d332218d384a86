package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configcompression"
)

const byteMetric = "otelcol_receiver_pooledotlp_byte_path"

// pooledReceiver is mainJob with the receiver renamed.
func (p ports) pooledReceiver(backend string) string {
	return strings.NewReplacer("\n  otlp:\n", "\n  pooledotlp:\n", "[otlp]", "[pooledotlp]").Replace(p.mainJob(backend))
}

// TestGatewayExampleForwardsBytes runs examples/gateway and sends numbered items of every signal through it, in every
// compression of the stock exporter.
func TestGatewayExampleForwardsBytes(t *testing.T) {
	t.Parallel()
	config, err := filepath.Abs(filepath.Join(repository, "examples/gateway/collector-config.yaml"))
	require.NoError(t, err)
	for _, compression := range []configcompression.Type{"none", "gzip", "zstd", "snappy"} {
		t.Run(string(compression), func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			c := startProcess(t, distribution(t), p, []string{
				"OTLP_GRPC_ENDPOINT=" + p.grpc, "OTLP_HTTP_ENDPOINT=" + p.http, "BACKEND_ENDPOINT=" + backend,
				"METRICS_PORT=" + p.metrics[strings.LastIndex(p.metrics, ":")+1:],
			}, "--config", config)

			const callers, requests, items = 8, 10, 57
			sendWithStockExporter(t, p.grpc, compression, callers, requests, items)

			all := sequence(0, callers*requests*items)
			requireExactlyOnce(t, arrived, arrived.spans, all)
			requireExactlyOnce(t, arrived, arrived.points, all)
			requireExactlyOnce(t, arrived, arrived.records, all)
			signals, _ := c.metric(t, byteMetric)
			assert.EqualValues(t, 3, signals, "all three signals stay bytes")
			assert.Contains(t, c.log(), `"requests_stay_encoded": true`)
			accepted, _ := c.metric(t, "otelcol_receiver_accepted_spans")
			if accepted == 0 {
				accepted, _ = c.metric(t, "otelcol_receiver_accepted_spans_total")
			}
			assert.EqualValues(t, len(all), accepted, "the receiver's own counters are right")
		})
	}
}

// TestReceiverDecodesWhereAComponentLooksIntoTelemetry: with decode: auto a processor that needs objects gets them.
func TestReceiverDecodesWhereAComponentLooksIntoTelemetry(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]string{
		"a processor": {
			"yaml:processors::filter: {traces: {span: ['name == \"none\"']}}",
			"yaml:service::pipelines::traces::processors: [memory_limiter, filter, adaptivebatch]",
		},
		"a fan-out": {
			"yaml:exporters::nop: {}", "yaml:service::pipelines::traces::exporters: [pooledotlp, nop]",
		},
		"a connector": {
			"yaml:connectors::forward: {}", "yaml:service::pipelines::traces::exporters: [forward]",
			"yaml:service::pipelines::traces/2: {receivers: [forward], processors: [adaptivebatch], exporters: [pooledotlp]}",
		},
		"another pipeline": {
			"yaml:exporters::debug: {}",
			"yaml:service::pipelines::traces/2: {receivers: [pooledotlp], exporters: [debug]}",
		},
		"decode: true": {"yaml:receivers::pooledotlp::decode: true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			var arguments []string
			for _, override := range change {
				arguments = append(arguments, "--config", override)
			}
			c := startCollector(t, distribution(t), p, p.pooledReceiver(backend), arguments...)

			require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 777))

			requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 777))
			signals, found := c.metric(t, byteMetric)
			assert.True(t, found)
			assert.Zero(t, signals)
		})
	}
}

// TestOneReceiverInSeveralBytePipelines: the same bytes go to two backends.
func TestOneReceiverInSeveralBytePipelines(t *testing.T) {
	t.Parallel()
	first, second := freeAddress(t), freeAddress(t)
	a, _ := startBackend(t, first)
	b, _ := startBackend(t, second)
	p := freePorts(t)
	c := startCollector(t, distribution(t), p, p.pooledReceiver(first),
		"--config", "yaml:exporters::pooledotlp/2: {endpoint: '"+second+"', tls: {insecure: true}}",
		"--config", "yaml:service::pipelines::traces/2: {receivers: [pooledotlp], processors: [adaptivebatch], exporters: [pooledotlp/2]}")

	require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 5000)) // more than a batch

	requireExactlyOnce(t, a, a.spans, sequence(0, 5000))
	requireExactlyOnce(t, b, b.spans, sequence(0, 5000))
	signals, _ := c.metric(t, byteMetric)
	assert.EqualValues(t, 3, signals)
}

// TestDecodeFalseIsRefusedWhereItCannotHold: by `validate` and at the start, with component, pipeline and remedy.
func TestDecodeFalseIsRefusedWhereItCannotHold(t *testing.T) {
	t.Parallel()
	config, err := filepath.Abs(filepath.Join(repository, "examples/gateway/collector-config.yaml"))
	require.NoError(t, err)
	arguments := []string{
		"--config", config, "--config", "yaml:processors::batch: {}",
		"--config", "yaml:service::pipelines::traces::processors: [memory_limiter, batch]",
	}
	for _, command := range [][]string{{"validate"}, {}} {
		output, code := run(t, distribution(t), append(command, arguments...)...)
		assert.NotZero(t, code)
		for _, words := range []string{"receivers::pooledotlp::decode", `processor "batch"`, `pipeline "traces"`, "`decode: auto`"} {
			assert.Contains(t, output, words)
		}
	}
}
