package alertmanager

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/metadata"
)

// NewFactory returns the factory of the extension "alertmanager".
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return &Extension{cfg: cfg.(*Config), set: set}, nil
}
