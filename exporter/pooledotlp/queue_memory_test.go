//go:build !race

// The race detector needs memory itself.

package pooledotlp

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/sample"
)

// liveHeap is what is reachable right now, in bytes.
func liveHeap() int64 {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}

// TestALargeQueueOnDiskIsDrainedInBoundedMemory fills a queue with 200 MB, starts anew, and looks at the memory while the queue is
// sent. The README states the bound. The backend is in the same process, and its part counted too.
func TestALargeQueueOnDiskIsDrainedInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	const consumers, fill = 10, 200 << 20
	td := sample.Spans(2000)
	largest := int64(wireTraces(t, td).Bytes())
	host := fileStorageHost(t, t.TempDir(), zap.NewNop())
	keys := map[string]any{
		"endpoint":         freeAddress(t),
		"sending_queue":    map[string]any{"storage": "file_storage", "num_consumers": consumers, "queue_size": fill, "sizer": "bytes"},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	}
	start := func() (tracesExporter, *componenttest.Telemetry) {
		set, tel := measuredSettings(t)
		set.ID = component.MustNewID("pooledotlp") // names the file
		e := newTracesExporter(t, set, newConfig(t, keys))
		require.NoError(t, e.Start(context.Background(), host))
		return e.(tracesExporter), tel
	}

	first, _ := start()
	requests := int64(0)
	for filled := largest; filled < fill; filled += largest {
		require.NoError(t, first.ConsumeTraces(context.Background(), td))
		requests++
	}
	require.NoError(t, first.Shutdown(context.Background()))

	var received atomic.Int64
	keys["endpoint"] = startDiscard(t, "gzip", &received)
	before := liveHeap()
	second, tel := start()
	var peakHeap, peakBuffers int64
	require.Eventually(t, func() bool {
		peakHeap = max(peakHeap, liveHeap()-before)
		s := second.pooled.Stats()
		peakBuffers = max(peakBuffers, s.InUseBytes+s.IdleBytes)
		_, err := tel.GetMetric("otelcol_exporter_pooledotlp_items")
		return err == nil && sumOf(t, tel, "otelcol_exporter_pooledotlp_items") == requests*int64(td.SpanCount())
	}, time.Minute, 5*time.Millisecond)
	require.NoError(t, second.Shutdown(context.Background()))
	t.Logf("%d requests of %.1f MB, %d consumers: at most %.1f MB of heap, of which %.1f MB in the buffer pool",
		requests, float64(largest)/1e6, consumers, float64(peakHeap)/1e6, float64(peakBuffers)/1e6)
	assert.Less(t, peakHeap, 32_000_000+6*consumers*largest)
	assert.Less(t, peakBuffers, 2*consumers*largest)
}
