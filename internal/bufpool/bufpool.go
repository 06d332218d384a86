// Package bufpool keeps byte buffers for reuse: in size classes, bounded in bytes, released when idle.
//
// grpc-go's default pool jumps from 32 KiB to 1 MiB and clears what it hands out, which for requests of some hundred
// KiB costs more than reading them. This pool wastes at most a fifth of a buffer, half of one above 256 KiB, and clears nothing: callers write before
// they read. Wrapped by mem.NewBuffer its buffers are reference counted and come back when the last reference is freed.
//
// Built with the tag bufpooldebug the pool poisons what is returned to it, panics on a second return and on a write
// after the return, and lists what was never returned: see Outstanding.
package bufpool

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"
)

const (
	// mem.NewBuffer leaves buffers of up to 1 KiB to the garbage collector, so pooling them would only lose them.
	minClassBits = 11
	// A buffer larger than this is dropped: few requests are that large, and one idle one would fill the default bound.
	maxClassBits = 24
	// Up to here there are four classes to a power of two: many requests of one size wait at once, and half a buffer wasted by each is
	// felt. Larger buffers gather batches for compression, one after the other in ever different sizes, and are found again only in few classes.
	fineClassBits = 18
	numFine       = 4*(fineClassBits-minClassBits) + 1
	numClasses    = numFine + maxClassBits - fineClassBits
	unpooled      = 1 << (minClassBits - 1)
)

// Config bounds what a Pool keeps.
type Config struct {
	// MaxIdleBytes bounds the capacity of all idle buffers together. A buffer returned beyond it is dropped; 0 keeps none.
	MaxIdleBytes int64
	// TTL is how long a buffer may stay unused: it is released between one and two TTL after its last use. 0 or less
	// keeps buffers until Close.
	TTL time.Duration
}

// DefaultConfig returns the bounds that suit one exporter or receiver: 16 MiB and 60 s.
func DefaultConfig() Config {
	return Config{MaxIdleBytes: 16 << 20, TTL: time.Minute}
}

// Stats is a snapshot of a Pool. Buffers of up to 1 KiB are not pooled and not counted.
type Stats struct {
	// Hits and Misses count the buffers handed out that were reused, and those that had to be allocated.
	Hits, Misses uint64
	// Dropped counts the buffers returned and not kept: too large, of a foreign capacity, or beyond MaxIdleBytes.
	Dropped uint64
	// Released counts the idle buffers given up after the TTL.
	Released uint64
	// IdleBytes is the capacity of the buffers waiting for reuse.
	IdleBytes int64
	// InUseBytes is the capacity, and InUse the number, of the buffers handed out and not yet returned.
	InUseBytes, InUse int64
}

// Pool is a mem.BufferPool. All its methods may be called from several goroutines at once.
//
// Lock order: mu before class.mu; idle is changed by itself.
type Pool struct {
	cfg     Config
	classes [numClasses]class
	// idle bounds all classes together, so it stands outside their locks.
	idle atomic.Int64

	// Buffers beyond the largest class are allocated and dropped; these count them.
	oversizedInUse, oversizedInUseBytes atomic.Int64
	oversized, foreign                  atomic.Uint64

	mu     sync.Mutex
	timer  *time.Timer // nil while nothing is idle: an unused pool costs no wake-ups and leaves no goroutine
	closed bool

	debug debugState
}

// class holds the idle buffers of one capacity, the last returned first: those at the bottom have been idle longest.
type class struct {
	mu   sync.Mutex
	free []*[]byte
	// low is the smallest length of free since the last sweep. As buffers are taken from the top, the lowest low of
	// them have not been used since: no time stamp per buffer is needed to know which are idle.
	low int

	hits, misses, dropped, released uint64
	inUse                           int64

	_ [64]byte // keeps the locks of two classes out of one cache line
}

var _ mem.BufferPool = (*Pool)(nil)

// New returns an empty pool. It starts no goroutine; a timer runs while buffers are idle, until Close.
func New(cfg Config) *Pool {
	return &Pool{cfg: cfg}
}

// Get returns a buffer of the given length, whose contents are undefined.
func (p *Pool) Get(length int) *[]byte {
	if length <= unpooled {
		b := make([]byte, length)
		return &b
	}
	index := classFor(length)
	if index >= numClasses {
		b := make([]byte, length)
		p.oversized.Add(1)
		p.oversizedInUse.Add(1)
		p.oversizedInUseBytes.Add(int64(length))
		p.debug.onGet(&b)
		return &b
	}
	b := p.classes[index].take()
	if b == nil {
		fresh := make([]byte, classSize(index))
		b = &fresh
	} else {
		p.idle.Add(-classSize(index))
	}
	p.debug.onGet(b)
	*b = (*b)[:length]
	return b
}

// Put returns a buffer obtained by Get. The caller must hold no other slice of it.
func (p *Pool) Put(b *[]byte) {
	size := cap(*b)
	if size <= unpooled {
		return
	}
	if int64(size) > classSize(numClasses-1) {
		p.debug.onPut(b)
		p.foreign.Add(1)
		p.oversizedInUse.Add(-1)
		p.oversizedInUseBytes.Add(-int64(size))
		return
	}
	index := classFor(size)
	if int64(size) != classSize(index) {
		p.foreign.Add(1)
		return
	}
	p.debug.onPut(b)
	keep := p.idle.Add(int64(size)) <= p.cfg.MaxIdleBytes
	if !keep {
		p.idle.Add(-int64(size))
	}
	if p.classes[index].give(b, keep) {
		p.schedule()
	}
}

// Stats returns a snapshot; each class is read by itself, so the sums may be off by calls in progress.
func (p *Pool) Stats() Stats {
	s := Stats{
		Misses:     p.oversized.Load(),
		Dropped:    p.foreign.Load(),
		IdleBytes:  p.idle.Load(),
		InUse:      p.oversizedInUse.Load(),
		InUseBytes: p.oversizedInUseBytes.Load(),
	}
	for i := range p.classes {
		c := &p.classes[i]
		c.mu.Lock()
		s.Hits += c.hits
		s.Misses += c.misses
		s.Dropped += c.dropped
		s.Released += c.released
		s.InUse += c.inUse
		s.InUseBytes += c.inUse * classSize(i)
		c.mu.Unlock()
	}
	return s
}

// Close stops the timer and releases what is idle. Get and Put go on working, but nothing is released by time any more.
// It may be called repeatedly.
func (p *Pool) Close() {
	shared.leave(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.release(func(c *class) int { return len(c.free) })
}

// schedule sees to it that a sweep comes while something is idle.
func (p *Pool) schedule() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil && !p.closed && p.cfg.TTL > 0 {
		p.timer = time.AfterFunc(p.cfg.TTL, p.sweep)
	}
}

// sweep releases the buffers not used since the last sweep.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.release(func(c *class) int { return c.low }) {
		p.timer.Reset(p.cfg.TTL)
		return
	}
	p.timer = nil
}

// release drops the lowest idle buffers of every class, as many as idle says, and reports whether any remain. The
// caller holds p.mu.
func (p *Pool) release(idle func(*class) int) (remain bool) {
	for i := range p.classes {
		c := &p.classes[i]
		c.mu.Lock()
		n := idle(c)
		kept := copy(c.free, c.free[n:])
		clear(c.free[kept:])
		c.free = c.free[:kept]
		c.low = kept
		c.released += uint64(n)
		c.mu.Unlock()
		p.idle.Add(-int64(n) * classSize(i))
		remain = remain || kept > 0
	}
	return remain
}

// take hands out the buffer used last, or nil when there is none.
func (c *class) take() *[]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse++
	last := len(c.free) - 1
	if last < 0 {
		c.misses++
		return nil
	}
	c.hits++
	b := c.free[last]
	c.free[last] = nil
	c.free = c.free[:last]
	c.low = min(c.low, last)
	return b
}

// give takes a buffer back and reports whether it is the first idle one of its class.
func (c *class) give(b *[]byte, keep bool) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse--
	if !keep {
		c.dropped++
		return false
	}
	c.free = append(c.free, b)
	return len(c.free) == 1
}

// classFor returns the index of the smallest class that holds n bytes; n is larger than unpooled.
func classFor(n int) int {
	if n <= 1<<minClassBits {
		return 0
	}
	power := bits.Len(uint(n-1)) - 1 // of two, below n
	if power >= fineClassBits {
		return numFine + power - fineClassBits
	}
	quarter := (n-1)>>(power-2) - 4 // of the way to the next one that n lies beyond
	return 4*(power-minClassBits) + quarter + 1
}

// classSize returns the capacity of a class's buffers.
func classSize(index int) int64 {
	if index >= numFine {
		return 1 << (index - numFine + fineClassBits + 1)
	}
	return int64(4+index%4) << (index/4 + minClassBits - 2)
}
