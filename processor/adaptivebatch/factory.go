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
	f := &factory{gauges: gauges{groups: map[groupKey]*group{}}}
	return xprocessor.NewFactory(metadata.Type, createDefaultConfig,
		xprocessor.WithTraces(f.createTraces, metadata.TracesStability),
		xprocessor.WithMetrics(f.createMetrics, metadata.MetricsStability),
		xprocessor.WithLogs(f.createLogs, metadata.LogsStability),
		xprocessor.WithProfiles(f.createProfiles, metadata.ProfilesStability),
	)
}

// factory is what the processors that it makes have in common.
type factory struct{ gauges gauges }

// capabilities: joining moves the callers' data.
var capabilities = consumer.Capabilities{MutatesData: true}

func (f *factory) createTraces(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Traces) (processor.Traces, error) {
	b, err := f.create(set, cfg, "traces")
	if err != nil {
		return nil, err
	}
	return newTraces(b, next), nil
}

func (f *factory) createMetrics(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Metrics) (processor.Metrics, error) {
	b, err := f.create(set, cfg, "metrics")
	if err != nil {
		return nil, err
	}
	return newMetrics(b, next), nil
}

func (f *factory) createLogs(_ context.Context, set processor.Settings, cfg component.Config, next consumer.Logs) (processor.Logs, error) {
	b, err := f.create(set, cfg, "logs")
	if err != nil {
		return nil, err
	}
	return newLogs(b, next), nil
}

func (f *factory) createProfiles(_ context.Context, set processor.Settings, cfg component.Config, next xconsumer.Profiles) (xprocessor.Profiles, error) {
	b, err := f.create(set, cfg, "profiles")
	if err != nil {
		return nil, err
	}
	return newProfiles(b, next), nil
}

func (f *factory) create(set processor.Settings, cfg component.Config, signal string) (*batcher, error) {
	t, err := newTelemetry(set, signal)
	if err != nil {
		return nil, err
	}
	b := newBatcher(cfg.(*Config), set.Logger, t)
	if t.unobserve, err = f.gauges.add(set, signal, b); err != nil {
		return nil, err
	}
	return b, nil
}
