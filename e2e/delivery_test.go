package e2e

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
)

// TestTelemetrygenArrives drives the main job with the load generator that users of the field know. An answer means
// "arrived", so everything is behind the Collector when telemetrygen returns.
func TestTelemetrygenArrives(t *testing.T) {
	t.Parallel()
	generator := binary(t, ".tools/telemetrygen", ".tools/telemetrygen")
	const workers, each = 2, 50
	signals := []struct {
		name  string
		flags []string
		items int
	}{
		{"traces", []string{"--traces", strconv.Itoa(each), "--child-spans", "3"}, workers * each * 4},
		{"metrics", []string{"--metrics", strconv.Itoa(each)}, workers * each},
		{"logs", []string{"--logs", strconv.Itoa(each)}, workers * each},
	}
	for _, protocol := range []string{"grpc", "http"} {
		backend := freeAddress(t)
		arrived, _ := startBackend(t, backend)
		p := freePorts(t)
		startCollector(t, distribution(t), p, p.mainJob(backend))
		before := 0
		for _, signal := range signals {
			arguments := append([]string{
				signal.name, "--otlp-insecure", "--rate", "0", "--workers", strconv.Itoa(workers),
				"--telemetry-attributes", `test.signal="` + signal.name + `"`,
			}, signal.flags...)
			if protocol == "http" {
				arguments = append(arguments, "--otlp-http", "--otlp-endpoint", p.http)
			} else {
				arguments = append(arguments, "--otlp-endpoint", p.grpc)
			}

			output, code := run(t, generator, arguments...)

			require.Zero(t, code, output)
			require.Equal(t, before+signal.items, arrived.totals(), "%s over %s", signal.name, protocol)
			for _, attributes := range arrived.foreign[before:] {
				value, _ := attributes.Get("test.signal")
				require.Equal(t, signal.name, value.Str())
			}
			before += signal.items
		}
	}
}

// TestStockExporterDeliversExactlyOnce sends numbered items of every signal with the stock OTLP exporter, several callers
// at once, in every compression it has.
func TestStockExporterDeliversExactlyOnce(t *testing.T) {
	t.Parallel()
	for _, compression := range []configcompression.Type{"none", "gzip", "zstd", "snappy"} {
		t.Run(string(compression), func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			startCollector(t, distribution(t), p, p.mainJob(backend), "--config",
				"yaml:exporters::pooledotlp::compression: "+string(compression))

			const callers, requests, items = 8, 20, 57
			sendWithStockExporter(t, p.grpc, compression, callers, requests, items)

			all := sequence(0, callers*requests*items)
			requireExactlyOnce(t, arrived, arrived.spans, all)
			requireExactlyOnce(t, arrived, arrived.points, all)
			requireExactlyOnce(t, arrived, arrived.records, all)
		})
	}
}

// sendWithStockExporter sends callers x requests x items of each signal; the exporter has no queue, so each call returns
// with the Collector's answer.
func sendWithStockExporter(t *testing.T, endpoint string, compression configcompression.Type, callers, requests, items int) {
	t.Helper()
	factory := otlpexporter.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpexporter.Config)
	config.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
	config.ClientConfig.Endpoint = endpoint
	config.ClientConfig.TLS.Insecure = true
	config.ClientConfig.Compression = compression
	settings := exportertest.NewNopSettings(factory.Type())
	traces, err := factory.CreateTraces(t.Context(), settings, config)
	require.NoError(t, err)
	metrics, err := factory.CreateMetrics(t.Context(), settings, config)
	require.NoError(t, err)
	logs, err := factory.CreateLogs(t.Context(), settings, config)
	require.NoError(t, err)
	for _, exporter := range []component.Component{traces, metrics, logs} {
		require.NoError(t, exporter.Start(t.Context(), componenttest.NewNopHost()))
		defer func() { assert.NoError(t, exporter.Shutdown(context.Background())) }()
	}

	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for request := range requests {
				first := (caller*requests + request) * items
				assert.NoError(t, traces.ConsumeTraces(t.Context(), numberedTraces(first, items)))
				assert.NoError(t, metrics.ConsumeMetrics(t.Context(), numberedMetrics(first, items)))
				assert.NoError(t, logs.ConsumeLogs(t.Context(), numberedLogs(first, items)))
			}
		})
	}
	wg.Wait()
}
