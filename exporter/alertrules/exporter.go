package alertrules

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/alertrules/internal/metadata"
)

// Config is what users write under `alertrules:`.
type Config struct {
	// Extension is the ID of the alertmanager extension.
	Extension component.ID `mapstructure:"extension"`
}

var _ confmap.Validator = (*Config)(nil)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	if c.Extension.Type().String() == "" {
		return errors.New("`extension` must not be empty")
	}
	return nil
}

// NewFactory returns the factory of the exporter "alertrules" for metrics.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type,
		func() component.Config { return &Config{Extension: component.MustNewID("alertmanager")} },
		exporter.WithMetrics(create, metadata.MetricsStability))
}

// metricSink is what the extension is to this exporter; it may be called by several goroutines at once and may change the metrics.
type metricSink interface {
	ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error
}

type alertRules struct {
	extension component.ID
	sink      metricSink
}

func create(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	e := &alertRules{extension: cfg.(*Config).Extension}
	// Without a queue: storing takes no time, and the pipeline learns what could not be stored.
	return exporterhelper.NewMetrics(ctx, set, cfg, func(ctx context.Context, md pmetric.Metrics) error {
		return e.sink.ConsumeMetrics(ctx, md)
	}, exporterhelper.WithStart(e.start), exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: true}))
}

func (e *alertRules) start(_ context.Context, host component.Host) error {
	found, ok := host.GetExtensions()[e.extension]
	if !ok {
		return fmt.Errorf("`extension`: %q is not among `service::extensions`", e.extension)
	}
	if e.sink, ok = found.(metricSink); !ok {
		return fmt.Errorf("`extension`: %q is no alertmanager extension", e.extension)
	}
	return nil
}
