package filestorage

import (
	"context"

	stock "github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/filestorage/internal/metadata"
)

// NewFactory returns the factory of the extension. Its type and configuration are those of contrib's.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, stock.NewFactory().CreateDefaultConfig, create, metadata.ExtensionStability)
}

func create(ctx context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	e, err := stock.NewFactory().Create(ctx, set, cfg)
	if err != nil {
		return nil, err
	}
	return &fileStorage{Extension: e.(storage.Extension), cfg: cfg.(*stock.Config), logger: set.Logger}, nil
}
