package pooledotlp

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/xexporter"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/compression"
	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

const (
	defaultTimeout            = 30 * time.Second
	defaultCompressionMinSize = 1024
	// As in the stock exporters: requests are large and answers nearly empty.
	defaultWriteBufferSize = 512 * 1024
)

// NewFactory returns the factory of the exporter.
func NewFactory() exporter.Factory {
	return xexporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		xexporter.WithTraces(createTraces, metadata.TracesStability),
		xexporter.WithMetrics(createMetrics, metadata.MetricsStability),
		xexporter.WithLogs(createLogs, metadata.LogsStability),
		xexporter.WithProfiles(createProfiles, metadata.ProfilesStability),
	)
}

func createDefaultConfig() component.Config {
	buffers := bufpool.DefaultConfig()
	return &Config{
		Protocol:               ProtocolGRPC,
		TimeoutConfig:          exporterhelper.TimeoutConfig{Timeout: defaultTimeout},
		QueueConfig:            configoptional.Some(exporterhelper.NewDefaultQueueConfig()),
		RetryConfig:            configretry.NewDefaultBackOffConfig(),
		RetryResourceExhausted: true,
		Compression:            compression.Gzip,
		CompressionMinSize:     defaultCompressionMinSize,
		Optimizations:          OptimizationsAll,
		Pool:                   connpool.DefaultConfig(),
		Buffers:                BuffersConfig{MaxIdleBytes: buffers.MaxIdleBytes, TTL: buffers.TTL},
		GRPC:                   defaultGRPCConfig(),
		HTTP:                   defaultHTTPConfig(),
	}
}

func defaultHTTPConfig() HTTPClientConfig {
	cfg := confighttp.NewDefaultClientConfig()
	cfg.WriteBufferSize = defaultWriteBufferSize
	return HTTPClientConfig{ClientConfig: cfg}
}

// defaultGRPCConfig is the stock exporter's, but for the balancer. Keepalive is off there too.
func defaultGRPCConfig() configgrpc.ClientConfig {
	cfg := configgrpc.NewDefaultClientConfig()
	cfg.WriteBufferSize = defaultWriteBufferSize
	cfg.Keepalive = configoptional.None[configgrpc.KeepaliveClientConfig]()
	cfg.BalancerName = connpool.Name
	return cfg
}

func createTraces(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
	e, err := newOTLPExporter(set, cfg.(*Config), wire.Traces)
	if err != nil {
		return nil, err
	}
	return tracesExporter{e}, nil
}

func createMetrics(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	e, err := newOTLPExporter(set, cfg.(*Config), wire.Metrics)
	if err != nil {
		return nil, err
	}
	return metricsExporter{e}, nil
}

func createLogs(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	e, err := newOTLPExporter(set, cfg.(*Config), wire.Logs)
	if err != nil {
		return nil, err
	}
	return logsExporter{e}, nil
}

func createProfiles(_ context.Context, set exporter.Settings, cfg component.Config) (xexporter.Profiles, error) {
	e, err := newOTLPExporter(set, cfg.(*Config), wire.Profiles)
	if err != nil {
		return nil, err
	}
	return profilesExporter{e}, nil
}
