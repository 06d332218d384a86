package adaptivebatch

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/xprocessor"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

// NewFactory returns the factory of the processor "adaptivebatch" for traces, metrics, logs and profiles.
func NewFactory() processor.Factory {
	return xprocessor.NewFactory(metadata.Type, createDefaultConfig,
		xprocessor.WithTraces(createTraces, metadata.TracesStability),
		xprocessor.WithMetrics(createMetrics, metadata.MetricsStability),
		xprocessor.WithLogs(createLogs, metadata.LogsStability),
		xprocessor.WithProfiles(createProfiles, metadata.ProfilesStability),
	)
}

// capabilities: joining moves the callers' data.
var capabilities = consumer.Capabilities{MutatesData: true}

func createTraces(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Traces) (processor.Traces, error) {
	b, err := create(set, cfg, "traces")
	if err != nil {
		return nil, err
	}
	return newTraces(b, next), nil
}

func createMetrics(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
	b, err := create(set, cfg, "metrics")
	if err != nil {
		return nil, err
	}
	return newMetrics(b, next), nil
}

func createLogs(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	b, err := create(set, cfg, "logs")
	if err != nil {
		return nil, err
	}
	return newLogs(b, next), nil
}

func createProfiles(_ context.Context, set processor.Settings, cfg component.Config, next xconsumer.Profiles) (xprocessor.Profiles, error) {
	b, err := create(set, cfg, "profiles")
	if err != nil {
		return nil, err
	}
	return newProfiles(b, next), nil
}

func create(set processor.Settings, cfg component.Config, signal string) (*batcher, error) {
	t, err := newTelemetry(set, signal)
	if err != nil {
		return nil, err
	}
	b := newBatcher(cfg.(*Config), set.Logger, t)
	if err := t.observe(b); err != nil {
		return nil, err
	}
	return b, nil
}
