package pooledotlp

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestEveryBufferComesBackOnceUnderLoad runs requests of all sizes through every path at once, with failures, splits, time-outs,
// callers that leave, and a shutdown with full queues. Built with -tags bufpooldebug, freed buffers are poisoned: a request
// sent from one, or one freed twice, fails here; the backend decodes all it gets.
func TestEveryBufferComesBackOnceUnderLoad(t *testing.T) {
	fail := func(r *rand.Rand) error {
		switch r.IntN(10) {
		case 0, 1, 2:
			return status.Error(codes.Unavailable, "")
		case 3:
			return status.Error(codes.InvalidArgument, "")
		case 4:
			return status.Error(codes.ResourceExhausted, "received message larger than max") // so it comes in halves
		default:
			return nil
		}
	}
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(5, 6))
	grpcEndpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		mu.Lock()
		err := fail(r)
		mu.Unlock()
		return ptraceotlp.NewExportResponse(), err
	})
	// Half of its answers come before it has read the request: the client's body outlives its call.
	server := startHTTPEarly(t, func() bool { mu.Lock(); defer mu.Unlock(); return r.IntN(2) == 0 })

	for name, keys := range map[string]map[string]any{
		"gRPC, queue":              {"endpoint": grpcEndpoint, "compression": "zstd"},
		"gRPC, batches":            {"endpoint": grpcEndpoint, "sending_queue": map[string]any{"batch": map[string]any{"min_size": 300, "max_size": 500, "flush_timeout": "1ms"}}},
		"gRPC, batches in bytes":   {"endpoint": grpcEndpoint, "compression": "none", "sending_queue": map[string]any{"sizer": "bytes", "queue_size": 10 << 20, "batch": map[string]any{"min_size": 9000, "max_size": 20000, "flush_timeout": "1ms"}}},
		"gRPC, waiting for result": {"endpoint": grpcEndpoint, "compression": "snappy", "sending_queue": map[string]any{"wait_for_result": true, "block_on_overflow": true}},
		"gRPC, no queue":           {"endpoint": grpcEndpoint, "sending_queue": map[string]any{"enabled": false}},
		"gRPC, on disk":            {"endpoint": grpcEndpoint, "sending_queue": map[string]any{"storage": "file_storage"}},
		"gRPC, batches on disk":    {"endpoint": grpcEndpoint, "compression": "brotli", "sending_queue": map[string]any{"storage": "file_storage", "batch": map[string]any{"min_size": 300, "max_size": 500, "flush_timeout": "1ms"}}},
		"HTTP, queue":              {"protocol": "http/protobuf", "endpoint": server, "compression": "none"},
		"HTTP, no queue":           {"protocol": "http/protobuf", "endpoint": server, "sending_queue": map[string]any{"enabled": false}},
	} {
		t.Run(name, func(t *testing.T) {
			keys["retry_on_failure"] = map[string]any{"initial_interval": "1ms", "max_interval": "2ms", "max_elapsed_time": "20ms"}
			e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, keys))
			require.NoError(t, e.Start(context.Background(), storageHost(&memoryStorage{data: map[string][]byte{}})))
			var callers sync.WaitGroup
			for caller := range 8 {
				callers.Go(func() {
					r := rand.New(rand.NewPCG(7, uint64(caller)))
					for range 60 {
						ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(20))*time.Millisecond)
						if r.IntN(2) == 0 {
							ctx, _ = observed(ctx)
						}
						_ = e.ConsumeTraces(ctx, spans(1+r.IntN(700)))
						cancel()
					}
				})
			}
			callers.Wait()
			// The queues are still full.
			require.NoError(t, e.Shutdown(context.Background()))
			pool := e.(tracesExporter).pooled
			// gRPC frees what it has not written yet from a goroutine of its own.
			assert.Eventually(t, func() bool { return pool.Stats().InUse == 0 }, 5*time.Second, time.Millisecond,
				"not back: %+v", pool.Stats())
		})
	}
}

// startHTTPEarly serves a backend that answers some requests without reading them.
func startHTTPEarly(t *testing.T, early func() bool) string {
	t.Helper()
	return startHTTPServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if early() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body := readAll(t, r)
		if body == nil {
			return
		}
		if r.Header.Get("Content-Encoding") == "" {
			assert.NoError(t, ptraceotlp.NewExportRequest().UnmarshalProto(body))
		}
	}))
}
