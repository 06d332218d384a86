package bufpool

import (
	"sync/atomic"
	"time"
)

// Budget bounds the bytes that readers hold together of what has not arrived in full.
type Budget struct {
	limit   int64
	born    time.Time
	held    atomic.Int64
	refused atomic.Uint64
	short   atomic.Int64 // when there last was no room, in nanoseconds since born: the time of day may be set back; 0 is never
}

// NewBudget returns a budget of that many bytes. 0: no bound, and what is held is still counted.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, born: time.Now()} }

// Bounded reports whether there may be no room.
func (b *Budget) Bounded() bool { return b != nil && b.limit > 0 }

// Held returns how many bytes are reserved.
func (b *Budget) Held() int64 { return b.held.Load() }

// Tight reports whether those that have been reading for long should make room: somebody found none within the last SlowReader, and more than
// half is still reserved. What nobody else needs may be held for long.
func (b *Budget) Tight() bool {
	if !b.Bounded() || b.held.Load() <= b.limit/2 {
		return false
	}
	short := b.short.Load()
	return short > 0 && time.Since(b.born)-time.Duration(short) <= SlowReader
}

// SlowReader is for how long a reader is left alone when its budget is tight: as long as clients by default wait for an answer.
const SlowReader = 10 * time.Second

// Refuse counts a reader that is broken off to make room. It is no sign that somebody needs room: then each would lead to the next.
func (b *Budget) Refuse() { b.refused.Add(1) }

// Refused returns how many readers found no room, or were broken off to make some.
func (b *Budget) Refused() uint64 { return b.refused.Load() }

// Reservation is one reader's part of a budget. It is not safe for concurrent use; the zero value has no budget.
type Reservation struct {
	budget *Budget
	bytes  int64
}

// Reserve returns an empty reservation. The budget may be nil.
func (b *Budget) Reserve() Reservation { return Reservation{budget: b} }

// Grow reserves n bytes more, and reports false when there is no room. Who reads alone always has it: what is larger than the whole budget
// could otherwise never be read.
func (r *Reservation) Grow(n int) bool {
	b := r.budget
	if b == nil {
		return true
	}
	size := int64(n)
	held := b.held.Add(size)
	if b.Bounded() && held > b.limit && held != r.bytes+size {
		b.held.Add(-size)
		b.short.Store(max(1, int64(time.Since(b.born))))
		b.refused.Add(1)
		return false
	}
	r.bytes += size
	return true
}

// End gives back what was reserved. It may be called repeatedly.
func (r *Reservation) End() {
	if r.bytes > 0 {
		r.budget.held.Add(-r.bytes)
		r.bytes = 0
	}
}
