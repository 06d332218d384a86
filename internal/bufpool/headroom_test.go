package bufpool

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func gcPercent() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// collectUntil collects garbage until the condition holds: what follows a collection is done a moment after it.
func collectUntil(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, func() bool { runtime.GC(); return condition() }, 10*time.Second, time.Millisecond)
}

// withoutGOGC is the process of somebody who has set nothing.
func withoutGOGC(t *testing.T) {
	t.Helper()
	t.Setenv("GOGC", "") // restored after the test
	require.NoError(t, os.Unsetenv("GOGC"))
	previous := debug.SetGCPercent(defaultGCPercent)
	t.Cleanup(func() { debug.SetGCPercent(previous) })
}

func TestTheCollectorKeepsNoHeadroomForWhatPoolsHold(t *testing.T) {
	withoutGOGC(t)
	p := New(DefaultConfig())
	p.LeaveOutOfHeadroom()
	var taken []*[]byte
	for range 100 {
		taken = append(taken, p.Get(1<<20))
	}
	// 100 MiB in use, at least 16 MiB of headroom.
	collectUntil(t, func() bool { return gcPercent() < 50 })
	assert.GreaterOrEqual(t, gcPercent(), 25)
	for _, b := range taken {
		p.Put(b)
	}
	clear(taken)
	collectUntil(t, func() bool { return gcPercent() > 60 }) // 16 MiB idle
	p.Close()
	assert.Equal(t, defaultGCPercent, gcPercent(), "as before when no pool is left")
}

func TestWhoSetsThePercentageIsLeftAlone(t *testing.T) {
	withoutGOGC(t)
	p := New(DefaultConfig())
	defer p.Close()
	p.LeaveOutOfHeadroom()
	held := p.Get(16 << 20)
	other := p.Get(16 << 20)
	third := p.Get(16 << 20)
	collectUntil(t, func() bool { return gcPercent() < defaultGCPercent })
	collector.mu.Lock() // not while it is being set
	debug.SetGCPercent(200)
	collector.mu.Unlock()
	for range 5 {
		runtime.GC()
	}
	collectUntil(t, func() bool { collector.mu.Lock(); defer collector.mu.Unlock(); return !collector.armed })
	assert.Equal(t, 200, gcPercent())
	for _, b := range []*[]byte{held, other, third} {
		p.Put(b)
	}
	p.Close()
	assert.Equal(t, 200, gcPercent())
}

func TestWithGOGCSetNothingIsChanged(t *testing.T) {
	withoutGOGC(t)
	t.Setenv("GOGC", "100")
	p := New(DefaultConfig())
	defer p.Close()
	p.LeaveOutOfHeadroom()
	collector.mu.Lock()
	defer collector.mu.Unlock()
	assert.NotContains(t, collector.pools, p)
}

func TestThePercentageLeavesTheHeadroomOfTheRest(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name              string
		live, roots, held uint64
		want              int
	}{
		{"nothing held", 200 * mib, 0, 0, 100},
		{"half held", 200 * mib, 0, 100 * mib, 50},
		{"at least 16 MiB", 40 * mib, 0, 35 * mib, 40},
		{"at least a quarter", 400 * mib, 0, 350 * mib, 25},
		{"little in use", 8 * mib, 1 * mib, 6 * mib, 100},
		{"roots count", 80 * mib, 20 * mib, 60 * mib, 40},
		{"more taken since than was in use", 50 * mib, 0, 500 * mib, 32},
		{"nothing known yet", 0, 0, 0, 100},
	} {
		assert.Equal(t, c.want, percentFor(c.live, c.roots, c.held), c.name)
	}
}
