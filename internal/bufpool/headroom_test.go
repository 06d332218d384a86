package bufpool

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool/bufpooltest"
)

func TestTheCollectorKeepsNoHeadroomForWhatPoolsHold(t *testing.T) {
	bufpooltest.WithoutGOGC(t)
	p := New(DefaultConfig())
	p.LeaveOutOfHeadroom()
	var taken []*[]byte
	for range 100 {
		taken = append(taken, p.Get(1<<20))
	}
	// 100 MiB in use, at least 16 MiB of headroom.
	bufpooltest.CollectUntil(t, func() bool { return bufpooltest.GCPercent() < 50 })
	assert.GreaterOrEqual(t, bufpooltest.GCPercent(), 25)
	for _, b := range taken {
		p.Put(b)
	}
	clear(taken)
	bufpooltest.CollectUntil(t, func() bool { return bufpooltest.GCPercent() > 60 }) // 16 MiB idle
	p.Close()
	assert.Equal(t, defaultGCPercent, bufpooltest.GCPercent(), "as before when no pool is left")
}

func TestWhoSetsThePercentageIsLeftAlone(t *testing.T) {
	bufpooltest.WithoutGOGC(t)
	p := New(DefaultConfig())
	defer p.Close()
	p.LeaveOutOfHeadroom()
	held := p.Get(16 << 20)
	other := p.Get(16 << 20)
	third := p.Get(16 << 20)
	bufpooltest.CollectUntil(t, func() bool { return bufpooltest.GCPercent() < defaultGCPercent })
	shared.mu.Lock() // not while it is being set
	debug.SetGCPercent(200)
	shared.mu.Unlock()
	for range 5 {
		runtime.GC()
	}
	bufpooltest.CollectUntil(t, func() bool { shared.mu.Lock(); defer shared.mu.Unlock(); return !shared.armed })
	assert.Equal(t, 200, bufpooltest.GCPercent())
	for _, b := range []*[]byte{held, other, third} {
		p.Put(b)
	}
	p.Close()
	assert.Equal(t, 200, bufpooltest.GCPercent())
}

func TestWithGOGCSetNothingIsChanged(t *testing.T) {
	bufpooltest.WithoutGOGC(t)
	t.Setenv("GOGC", "100")
	p := New(DefaultConfig())
	defer p.Close()
	p.LeaveOutOfHeadroom()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	assert.NotContains(t, shared.pools, p)
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
