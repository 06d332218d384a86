package filestorage

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	stock "github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// BenchmarkCheck reads through a queue of 5,000 requests of 40 kB.
func BenchmarkCheck(b *testing.B) {
	ctx, directory := context.Background(), b.TempDir()
	factory := NewFactory()
	cfg := factory.CreateDefaultConfig().(*stock.Config)
	cfg.Directory = directory
	e, err := factory.Create(ctx, extensiontest.NewNopSettings(factory.Type()), cfg)
	require.NoError(b, err)
	client, err := e.(storage.Extension).GetClient(ctx, component.KindExporter, component.MustNewID("pooledotlp"), "traces")
	require.NoError(b, err)
	for i := range 5000 {
		require.NoError(b, client.Set(ctx, fmt.Sprint(i), bytes.Repeat([]byte("x"), 40_000)))
	}
	require.NoError(b, client.Close(ctx))
	for b.Loop() {
		corruption, err := check(filepath.Join(directory, "exporter_pooledotlp__traces"), time.Second)
		require.NoError(b, err)
		require.NoError(b, corruption)
	}
}
