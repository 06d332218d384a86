package pooledotlp

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadata"
)

// NewFactory returns the receiver's factory.
func NewFactory() receiver.Factory {
	return xreceiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		xreceiver.WithTraces(createTraces, metadata.TracesStability),
		xreceiver.WithMetrics(createMetrics, metadata.MetricsStability),
		xreceiver.WithLogs(createLogs, metadata.LogsStability),
		xreceiver.WithProfiles(createProfiles, metadata.ProfilesStability),
	)
}

// createDefaultConfig takes the stock receiver's defaults from itself, so that they cannot drift apart.
func createDefaultConfig() component.Config {
	stock := otlpreceiver.NewFactory().CreateDefaultConfig().(*otlpreceiver.Config)
	return &Config{Protocols: stock.Protocols, Decode: DecodeAuto, GRPCServer: ServerAuto, HTTPServer: ServerAuto, MaxReadingBytes: defaultReadingBytes}
}

func createTraces(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
	return instances.join(cfg.(*Config), set, func(r *otlpReceiver) { r.traces = next })
}

func createMetrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	return instances.join(cfg.(*Config), set, func(r *otlpReceiver) { r.metrics = next })
}

func createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	return instances.join(cfg.(*Config), set, func(r *otlpReceiver) { r.logs = next })
}

func createProfiles(_ context.Context, set receiver.Settings, cfg component.Config, next xconsumer.Profiles) (xreceiver.Profiles, error) {
	return instances.join(cfg.(*Config), set, func(r *otlpReceiver) { r.profiles = next })
}
