package pooledotlp

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
)

// counting is a backend that counts the spans it accepts, by name, and can be made to fail.
type counting struct {
	failing atomic.Bool
	mu      sync.Mutex
	seen    map[string]int
	arrived chan struct{}
}

func newCounting() *counting {
	return &counting{seen: map[string]int{}, arrived: make(chan struct{}, 1000)}
}

func (c *counting) export(_ context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	defer func() {
		select {
		case c.arrived <- struct{}{}:
		default: // nobody waits for that many
		}
	}()
	if c.failing.Load() {
		return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "not now")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.Traces().ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				c.seen[s.Name()]++
			}
		}
	}
	return ptraceotlp.NewExportResponse(), nil
}

func (c *counting) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, times := range c.seen {
		n += times
	}
	return n
}

func (c *counting) waitForCall(t *testing.T) {
	t.Helper()
	select {
	case <-c.arrived:
	case <-time.After(10 * time.Second):
		t.Fatal("no call arrived")
	}
}

func TestTheQueueSendsWhatItHoldsBeforeShutdownReturns(t *testing.T) {
	for name, queue := range map[string]map[string]any{
		"one by one":      {"num_consumers": 3},
		"batched":         {"batch": map[string]any{"min_size": 50, "max_size": 70, "flush_timeout": "1h"}},
		"batched by byte": {"sizer": "bytes", "queue_size": 1 << 20, "batch": map[string]any{"min_size": 2000, "max_size": 3000, "flush_timeout": "1h"}},
	} {
		t.Run(name, func(t *testing.T) {
			backend := newCounting()
			endpoint := startBackend(t, backend.export)
			e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{"endpoint": endpoint, "sending_queue": queue}))
			require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
			for range 20 {
				require.NoError(t, e.ConsumeTraces(context.Background(), spans(17)))
			}
			require.NoError(t, e.Shutdown(context.Background()))
			assert.Equal(t, 20*17, backend.total())
			stats := e.(tracesExporter).pooled.Stats()
			assert.Zero(t, stats.InUse, "every buffer is back: %+v", stats)
		})
	}
}

func TestTheQueueRetries(t *testing.T) {
	backend := newCounting()
	backend.failing.Store(true)
	endpoint := startBackend(t, backend.export)
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"wait_for_result": true},
		"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms"},
	}))
	startComponent(t, e, componenttest.NewNopHost())
	done := make(chan error, 1)
	go func() { done <- e.ConsumeTraces(context.Background(), spans(9)) }()
	backend.waitForCall(t)
	backend.waitForCall(t)
	backend.failing.Store(false)
	require.NoError(t, <-done)
	assert.Equal(t, 9, backend.total())
	assert.Positive(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_retries"))
	assert.EqualValues(t, 9, sumOf(t, tel, "otelcol_exporter_sent_spans"), "counted once, though two chains of the helper are involved")
}

func TestWhatTheQueueDropsIsCountedByReason(t *testing.T) {
	for reason, c := range map[string]struct {
		answer error
		keys   map[string]any
	}{
		dropRejected:         {answer: status.Error(codes.InvalidArgument, "bad")},
		dropRetriesExhausted: {answer: status.Error(codes.Unavailable, ""), keys: map[string]any{"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms", "max_elapsed_time": "10ms"}}},
		dropShutdown:         {answer: status.Error(codes.Unavailable, ""), keys: map[string]any{"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h", "max_elapsed_time": "0s"}}},
	} {
		t.Run(reason, func(t *testing.T) {
			called := make(chan struct{}, 1000)
			endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
				called <- struct{}{}
				return ptraceotlp.NewExportResponse(), c.answer
			})
			set, tel := measuredSettings(t)
			keys := map[string]any{"endpoint": endpoint}
			for k, v := range c.keys {
				keys[k] = v
			}
			e := newTracesExporter(t, set, newConfig(t, keys))
			require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
			require.NoError(t, e.ConsumeTraces(context.Background(), spans(4)))
			<-called
			if reason == dropRetriesExhausted {
				require.Eventually(t, func() bool { return droppedByReason(t, tel) != nil }, 10*time.Second, time.Millisecond)
			}
			require.NoError(t, e.Shutdown(context.Background()))
			assert.Equal(t, map[string]int64{reason: 4}, droppedByReason(t, tel))
		})
	}
}

// heldTransport keeps each try until it is let go, and then fails it for a time.
type heldTransport struct{ goOn chan struct{} }

func (heldTransport) start(context.Context, component.Host) error { return nil }
func (heldTransport) stats() connpool.Stats                       { return connpool.Stats{} }
func (heldTransport) shutdown() error                             { return nil }

func (h heldTransport) send(context.Context, mem.BufferSlice, bool) (partialSuccess, verdict) {
	<-h.goOn
	return partialSuccess{}, verdict{outcome: attempt.Unavailable, err: status.Error(codes.Unavailable, "not now")}
}

// Of what is being sent while the Collector ends, a queue on disk keeps what would have been tried again, and nothing else.
func TestWhatAShutdownDoesNotKeepOnDiskIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		retries map[string]any
		dropped map[string]int64
	}{
		"tried again":             {map[string]any{"initial_interval": "1h", "max_interval": "1h"}, nil},
		"never tried again":       {map[string]any{"enabled": false}, map[string]int64{dropRetriesExhausted: 4}},
		"tried for the last time": {map[string]any{"initial_interval": "1m", "max_interval": "1m", "max_elapsed_time": "1m"}, map[string]int64{dropRetriesExhausted: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set, tel := measuredSettings(t)
				e := newTracesExporter(t, set, newConfig(t, map[string]any{
					"endpoint": "localhost:1", "optimizations": "none", "sending_queue": map[string]any{"storage": "file_storage"}, "retry_on_failure": c.retries,
				}))
				held := heldTransport{make(chan struct{})}
				e.(tracesExporter).sender.transport = held
				disk := &memoryStorage{data: map[string][]byte{}}
				require.NoError(t, e.Start(context.Background(), storageHost(disk)))
				require.NoError(t, e.ConsumeTraces(context.Background(), spans(4)))
				time.Sleep(time.Minute)
				ended := make(chan error)
				go func() { ended <- e.Shutdown(context.Background()) }()
				synctest.Wait() // the retries are stopped, and the queue waits for the try
				close(held.goOn)
				require.NoError(t, <-ended)
				assert.Equal(t, c.dropped == nil, hasItems(disk), "what is not on disk any more is counted")
				assert.Equal(t, c.dropped, droppedByReason(t, tel))
			})
		})
	}
}

// droppedByReason is nil when nothing was dropped.
func droppedByReason(t *testing.T, tel *componenttest.Telemetry) map[string]int64 {
	t.Helper()
	metric, err := tel.GetMetric("otelcol_exporter_pooledotlp_dropped_items")
	if err != nil {
		return nil
	}
	return byAttribute(t, metric, "reason")
}

// The helper counts what a caller was told of, which it may send again; the metric of what is lost does not.
func TestWhatACallerIsToldIsNotDropped(t *testing.T) {
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		return ptraceotlp.NewExportResponse(), status.Error(codes.InvalidArgument, "bad")
	})
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{"endpoint": endpoint}))
	startComponent(t, e, componenttest.NewNopHost())
	ctx, _ := observed(context.Background())
	require.Error(t, e.ConsumeTraces(ctx, spans(4)))
	assert.EqualValues(t, 4, sumOf(t, tel, "otelcol_exporter_send_failed_spans"))
	assert.Nil(t, droppedByReason(t, tel))
}
