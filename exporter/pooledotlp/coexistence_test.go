package pooledotlp

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"google.golang.org/grpc/encoding"
)

// gRPC's compressors are one registry for the whole process: what the stock components find there must be theirs.
func TestStockComponentsInTheSameProcessKeepTheirCompression(t *testing.T) {
	names := []string{"gzip", "zstd", "snappy"}
	before := map[string]encoding.Compressor{}
	for _, name := range names {
		before[name] = encoding.GetCompressor(name)
	}
	endpoint, sink := startReceiver(t, nil)
	for _, name := range append(names, "brotli") {
		ours := startTracesExporter(t, map[string]any{"endpoint": endpoint, "compression": name})
		ctx, _ := observed(context.Background())
		require.NoError(t, ours.ConsumeTraces(ctx, spans(100)))
		sink.traces.Reset()
		if name == "brotli" {
			continue // the stock exporter does not offer it
		}
		assert.Equal(t, before[name], encoding.GetCompressor(name))

		factory := otlpexporter.NewFactory()
		cfg := factory.CreateDefaultConfig().(*otlpexporter.Config)
		cfg.ClientConfig.Endpoint = endpoint
		cfg.ClientConfig.TLS.Insecure = true
		cfg.ClientConfig.Compression = configcompression.Type(name)
		cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
		stock, err := factory.CreateTraces(context.Background(), exportertest.NewNopSettings(factory.Type()), cfg)
		require.NoError(t, err)
		startComponent(t, stock, componenttest.NewNopHost())
		require.NoError(t, stock.ConsumeTraces(context.Background(), spans(100)))
		assert.Equal(t, spans(100), sink.traces.AllTraces()[0])
		sink.traces.Reset()
	}
}

// The pool is one among the balancers of the process: the stock exporter can name it.
func TestTheStockExporterCanUseThePool(t *testing.T) {
	endpoint, sink := startReceiver(t, nil)
	factory := otlpexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpexporter.Config)
	cfg.ClientConfig.Endpoint = endpoint
	cfg.ClientConfig.TLS.Insecure = true
	cfg.ClientConfig.BalancerName = "connection_pool"
	cfg.QueueConfig = configoptional.None[exporterhelper.QueueBatchConfig]()
	stock, err := factory.CreateTraces(context.Background(), exportertest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	startComponent(t, stock, componenttest.NewNopHost())
	require.NoError(t, stock.ConsumeTraces(context.Background(), spans(100)))
	assert.Equal(t, 100, sink.traces.SpanCount())
}
