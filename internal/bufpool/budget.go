package bufpool

import (
	"sync/atomic"
	"time"
)

// Budget bounds the bytes that readers hold together of what has not arrived in full.
type Budget struct {
	limit   int64
	held    atomic.Int64
	refused atomic.Uint64
}

// NewBudget returns a budget of that many bytes. 0: no bound, and what is held is still counted.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Held returns how many bytes are reserved.
func (b *Budget) Held() int64 { return b.held.Load() }

// Tight reports whether more than half is reserved: those that have been reading for long should make room.
func (b *Budget) Tight() bool { return b != nil && b.limit > 0 && b.held.Load() > b.limit/2 }

// SlowReader is for how long a reader is left alone when its budget is tight: as long as clients by default wait for an answer.
const SlowReader = 10 * time.Second

// Refused returns how many times there was no room.
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
	if b.limit > 0 && held > b.limit && held != r.bytes+size {
		b.held.Add(-size)
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
