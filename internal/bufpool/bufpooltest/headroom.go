// Package bufpooltest tells what pools do to the process.
package bufpooltest

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
)

// defaultGCPercent is Go's.
const defaultGCPercent = 100

// WithoutGOGC makes the process, until the test ends, one whose user has not said when garbage is collected.
func WithoutGOGC(t *testing.T) {
	t.Helper()
	t.Setenv("GOGC", "") // restored after the test
	require.NoError(t, os.Unsetenv("GOGC"))
	previous := debug.SetGCPercent(defaultGCPercent)
	t.Cleanup(func() { debug.SetGCPercent(previous) })
}

// GCPercent returns by how much the heap may grow before it is collected.
func GCPercent() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64()) //nolint:gosec // the tests set no percentage that large
}

// CollectUntil collects garbage until the condition holds: what follows a collection is done a moment after it.
func CollectUntil(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, func() bool { runtime.GC(); return condition() }, 10*time.Second, time.Millisecond)
}

// RequireLeftOutUntil takes 64 MiB from a pool and requires that the garbage collector keeps less free for them than it would, until stop.
func RequireLeftOutUntil(t *testing.T, pool mem.BufferPool, stop func()) {
	t.Helper()
	var taken []*[]byte
	for range 64 {
		taken = append(taken, pool.Get(1<<20))
	}
	CollectUntil(t, func() bool { return GCPercent() < defaultGCPercent })
	for _, b := range taken {
		pool.Put(b)
	}
	stop()
	require.Equal(t, defaultGCPercent, GCPercent())
}
