package pooledotlp

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestACorruptQueueOnDiskDoesNotStopTheStart(t *testing.T) {
	directory := t.TempDir()
	backend := newCounting()
	cfg := newConfig(t, map[string]any{
		"endpoint": startBackend(t, backend.export), "sending_queue": map[string]any{"storage": "file_storage"},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	})
	set := exportertest.NewNopSettings(NewFactory().Type())
	set.ID = component.MustNewID("pooledotlp") // names the file
	backend.failing.Store(true)
	first := newTracesExporter(t, set, cfg)
	require.NoError(t, first.Start(context.Background(), fileStorageHost(t, directory, zap.NewNop())))
	require.NoError(t, first.ConsumeTraces(context.Background(), spans(1000)))
	require.NoError(t, first.Shutdown(context.Background()))
	path := filepath.Join(directory, "exporter_pooledotlp__traces")
	require.NoError(t, os.Truncate(path, 16*1024))
	backend.failing.Store(false)

	core, logs := observer.New(zap.ErrorLevel)
	second := newTracesExporter(t, set, cfg)
	startComponent(t, second, fileStorageHost(t, directory, zap.New(core)))
	require.NoError(t, second.ConsumeTraces(context.Background(), spans(7)))
	require.Eventually(t, func() bool { return backend.total() == 7 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, path, logs.All()[0].ContextMap()["file"])
	assert.FileExists(t, logs.All()[0].ContextMap()["backup"].(string))
}
