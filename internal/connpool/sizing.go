package connpool

import (
	"sync/atomic"
	"time"
)

// growthWindow is how long load must stay above the target before the pool grows. It is longer than most round trips, so
// that one burst of calls sent together does not open connections, and short against the time a person would notice.
const growthWindow = 100 * time.Millisecond

// load observes how busy the connections are. Pickers write it; the sizing decisions read it.
type load struct {
	// picks and pressured count calls handed out in the current growth window, and those of them that found the connections at their
	// target. The mean decides: one that is slow holds more calls than the others, and is a reason to open more.
	picks, pressured atomic.Int64
	// peak is the most calls in flight since the last shrink decision.
	peak atomic.Int64
}

// observe notes a call that found meanInFlight calls on a connection, with total now in flight. It reports
// whether it found the connections at their target.
func (l *load) observe(meanInFlight, total, target int64) bool {
	l.picks.Add(1)
	for {
		peak := l.peak.Load()
		if total <= peak || l.peak.CompareAndSwap(peak, total) {
			break
		}
	}
	if meanInFlight < target {
		return false
	}
	l.pressured.Add(1)
	return true
}

// openWindow starts a growth window. What was picked before is not counted: the call that brought the pressure would
// otherwise be a window of its own.
func (l *load) openWindow() {
	l.picks.Store(0)
	l.pressured.Store(0)
}

// grownSize ends a growth window and returns how many connections there should be: as many as the calls in flight need,
// but at most twice as many as now, so that a far backend is not hit by fifty handshakes at once. Without pressure on at
// least half of the calls it is what there is.
func (l *load) grownSize(now, maxSize int, inFlight int64, target int) int {
	picks, pressured := l.picks.Swap(0), l.pressured.Swap(0)
	// Calls that wait for an answer for longer than the window make no picks, but keep the connections loaded.
	stalled := picks == 0 && inFlight > int64(now*target)
	if !stalled && (pressured == 0 || 2*pressured < picks) {
		return now
	}
	need := max(sizeFor(inFlight, target), now+1)
	return max(now, min(need, 2*now, maxSize))
}

// shrunkSize ends a shrink window and returns how many connections its peak needed.
func (l *load) shrunkSize(now, minSize int, inFlight int64, target int) int {
	peak := max(l.peak.Swap(inFlight), inFlight)
	return min(now, max(minSize, sizeFor(peak, target)))
}

func sizeFor(inFlight int64, target int) int {
	return int((inFlight + int64(target) - 1) / int64(target))
}
