package pooledotlp

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/tcpproxy"
)

// One of several connections breaks under load. Calls on it are sent again elsewhere, and no caller waits longer for that
// than until the second health check from then on; a call on a black hole would otherwise last until the timeout of 30 s.
func TestABrokenConnectionUnderLoadLosesNothing(t *testing.T) {
	const interval = 500 * time.Millisecond
	for name, breakIt := range map[string]func(*tcpproxy.Conn){
		"black hole": (*tcpproxy.Conn).Swallow,
		"killed":     (*tcpproxy.Conn).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			backend := newCounting()
			proxy, err := tcpproxy.Start(startBackend(t, backend.export))
			require.NoError(t, err)
			t.Cleanup(proxy.Close)
			e := startTracesExporter(t, map[string]any{
				"endpoint": proxy.Address(),
				"pool": map[string]any{
					"min_connections": 4, "health_check": map[string]any{"interval": interval.String(), "timeout": "200ms"},
				},
				"retry_on_failure": map[string]any{"initial_interval": "5ms", "max_interval": "20ms"},
			})
			stats := e.(tracesExporter).sender.transport.stats

			var accepted atomic.Int64
			var slowest atomic.Int64
			var callers sync.WaitGroup
			stop := make(chan struct{})
			for range 16 {
				callers.Go(func() {
					ctx, _ := observed(context.Background())
					for {
						select {
						case <-stop:
							return
						default:
						}
						start := time.Now()
						if !assert.NoError(t, e.ConsumeTraces(ctx, numbered(int(accepted.Add(1))))) {
							return
						}
						for took := int64(time.Since(start)); ; {
							if most := slowest.Load(); took <= most || slowest.CompareAndSwap(most, took) {
								break
							}
						}
					}
				})
			}
			require.Eventually(t, func() bool { return stats().Ready == 4 && accepted.Load() > 500 }, 20*time.Second, time.Millisecond)
			broken := proxy.Conns()[1]
			breakIt(broken)
			select {
			case <-broken.Closed():
			case <-time.After(20 * time.Second):
				t.Error("the connection is kept")
			}
			moved := accepted.Load()
			require.Eventually(t, func() bool { return stats().Ready == 4 && accepted.Load() > moved+500 }, 20*time.Second, time.Millisecond)
			close(stop)
			callers.Wait()

			backend.mu.Lock()
			defer backend.mu.Unlock()
			again := 0
			for n := range int(accepted.Load()) {
				times := backend.seen[strconv.Itoa(n+1)]
				assert.NotZero(t, times, "request %d was accepted and never arrived", n+1)
				again += max(0, times/10-1)
			}
			assert.Less(t, time.Duration(slowest.Load()), 2*interval+time.Second, "two intervals, and room for a busy machine")
			t.Logf("%d requests, %d of them sent more than once, the slowest took %s", accepted.Load(), again, time.Duration(slowest.Load()))
		})
	}
}
