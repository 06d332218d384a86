package bufpool

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// defaultGCPercent is Go's GOGC where nobody has set one.
	defaultGCPercent = 100
	// minHeadroom is what may be allocated between two collections where that is less than is in use: a collection costs some milliseconds
	// however little there is to scan.
	minHeadroom = 16 << 20
	// minShare is the part of everything in use that is kept free in any case: buffers that were lost and not given back, as some are when connections
	// break, count as held for ever.
	minShare = 4
)

// headroom keeps the garbage collector from reserving memory for what the pools hold.
//
// By default the heap may grow to twice what is in use before it is collected. For objects that is the price of collecting them seldom; the bytes of
// a pool are neither scanned nor garbage, and the same again beside them is memory for nothing. So after each collection the percentage is set to
// what leaves the headroom of the rest, a quarter and 16 MiB at least: see https://go.dev/doc/gc-guide#GOGC for the formula of the heap's target.
//
// Whoever sets GOGC, or calls debug.SetGCPercent, is left alone.
type headroom struct {
	mu      sync.Mutex
	pools   map[*Pool]struct{}
	percent int  // what was set last
	armed   bool // the next collection is followed by an adjustment
}

// shared is the process's.
var shared = headroom{pools: map[*Pool]struct{}{}, percent: defaultGCPercent}

// LeaveOutOfHeadroom has the garbage collector keep no memory free on behalf of what this pool holds, until Close: see headroom. It concerns the
// process, and does nothing when GOGC is set.
func (p *Pool) LeaveOutOfHeadroom() {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.pools[p] = struct{}{}
	shared.arm()
}

func (h *headroom) leave(p *Pool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pools, p)
	if len(h.pools) == 0 {
		h.set(defaultGCPercent)
		h.percent = defaultGCPercent // whose percentage it is, is judged anew by the next pool
	}
}

// collection is allocated to be collected. It has a pointer, as objects without are put together and outlive one another.
type collection struct{ _ *collection }

// arm has adjust called after the next collection. The caller holds mu.
func (h *headroom) arm() {
	if !h.armed {
		h.armed = true
		runtime.AddCleanup(new(collection), (*headroom).adjust, h)
	}
}

func (h *headroom) adjust() {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	if len(h.pools) == 0 {
		return
	}
	var held int64
	for p := range h.pools {
		stats := p.Stats()
		held += stats.IdleBytes + stats.InUseBytes
	}
	if h.set(percentFor(samples[0].Value.Uint64(), samples[1].Value.Uint64()+samples[2].Value.Uint64(), uint64(held))) {
		h.arm()
	}
}

// set reports false when somebody else has set the percentage meanwhile: then it is theirs. The caller holds mu.
func (h *headroom) set(percent int) bool {
	now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(now)
	if now[0].Value.Uint64() != uint64(h.percent) {
		return false
	}
	if percent != h.percent {
		debug.SetGCPercent(percent)
		h.percent = percent
	}
	return true
}

// percentFor returns the percentage of everything, live heap and roots, that is the headroom of what no pool holds.
func percentFor(live, roots, held uint64) int {
	all := live + roots
	room := max(all-min(held, live), minHeadroom, all/minShare)
	return int(min(defaultGCPercent, (room*100+all-1)/max(all, 1)))
}
