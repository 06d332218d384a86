package pooledotlp

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long requests go uncompressed after the backend has refused the compression: the first time, and at most. The time doubles each
// time that the backend refuses again.
const (
	fallbackTime    = 10 * time.Minute
	maxFallbackTime = 2 * time.Hour
)

// compressionFallback remembers that the backend took a request uncompressed that it had refused compressed. It does so for a while only,
// because the two tries may have come to different servers: one without the service, say, in the midst of a deployment. Then one request
// finds out whether that still holds.
//
// It is safe for concurrent use. The zero value compresses.
type compressionFallback struct {
	// until is a Unix time in nanoseconds; 0 while requests are compressed. It spares the common case the lock and the clock.
	until atomic.Int64

	// mu guards duration, which is that of the current fall-back, and the changes of until that go with it.
	mu       sync.Mutex
	duration time.Duration
}

// choose says whether a request is to be compressed, and whether it is the one that finds out for the others, which is to be told to
// accepted or refused. If it is told to neither, the next one finds out after fallbackTime.
func (f *compressionFallback) choose() (compress, probe bool) {
	until := f.until.Load()
	if until == 0 {
		return true, false
	}
	now := time.Now()
	probe = now.UnixNano() >= until && f.until.CompareAndSwap(until, now.Add(fallbackTime).UnixNano())
	return probe, probe
}

// refused begins a fall-back, or prolongs it after a probe. It reports whether it began one.
func (f *compressionFallback) refused(probe bool) (began bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.until.Load() == 0:
		f.duration, began = fallbackTime, true
	case probe:
		f.duration = min(2*f.duration, maxFallbackTime)
	default:
		return false // one of several that were under way when the first was refused
	}
	f.until.Store(time.Now().Add(f.duration).UnixNano())
	return began
}

// accepted ends the fall-back after a probe.
func (f *compressionFallback) accepted() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until.Store(0)
}
