// Package ledger keeps what was sent, acknowledged and received of every numbered item.
package ledger

import (
	"sync"
	"sync/atomic"
)

// chunkItems is how many numbers share a lock and an allocation. Requests arrive with neighbouring numbers, so that a request
// usually takes one lock.
const chunkItems = 1 << 15

// MaxItems bounds a run's memory: one byte an item, allocated as it is used.
const MaxItems = 1 << 30

// Ledger is safe for concurrent use. Requests are counted by sequence number, items by number:
// number = sequence x items per request + index.
type Ledger struct {
	itemsPerRequest uint64
	requests        table // states of requests
	arrivals        table // how often an item arrived, up to 255
	unknown         atomic.Uint64
	corrupted       atomic.Uint64
	traceLost       atomic.Uint64
	malformed       atomic.Uint64
	received        atomic.Uint64
}

// States of a request; a later one replaces an earlier one, but an acknowledgement stays.
const (
	sent byte = 1 + iota
	refused
	acknowledged
)

// New makes a ledger for requests of this many items.
func New(itemsPerRequest int) *Ledger {
	return &Ledger{itemsPerRequest: uint64(itemsPerRequest)}
}

// Sent notes that a request goes out, before its first attempt.
func (l *Ledger) Sent(seq uint64) { l.requests.set(seq, sent) }

// Acknowledged notes that the Collector took the request over.
func (l *Ledger) Acknowledged(seq uint64) { l.requests.set(seq, acknowledged) }

// Refused notes that the sender gave the request up.
func (l *Ledger) Refused(seq uint64) { l.requests.set(seq, refused) }

// Arrivals counts items of one request that the backend accepted. It keeps no reference to numbers.
func (l *Ledger) Arrivals(numbers []uint64) {
	l.received.Add(uint64(len(numbers)))
	if missed := l.arrivals.increment(numbers); missed > 0 {
		l.unknown.Add(missed)
	}
}

// Corrupted counts an item whose content is not what was sent.
func (l *Ledger) Corrupted() { l.corrupted.Add(1) }

// TraceLost counts a span whose trace or parent is not what was sent.
func (l *Ledger) TraceLost() { l.traceLost.Add(1) }

// Malformed counts a request that could not be decoded.
func (l *Ledger) Malformed() { l.malformed.Add(1) }

// Received is how many items arrived until now, duplicates included.
func (l *Ledger) Received() uint64 { return l.received.Load() }

// Counts is the outcome of a run, in items where no other unit is named.
type Counts struct {
	Sent         uint64 `json:"sent"`
	Acknowledged uint64 `json:"acknowledged"`
	Refused      uint64 `json:"refused"`
	Received     uint64 `json:"received"`
	// Lost items were acknowledged and never arrived.
	Lost uint64 `json:"lost"`
	// Duplicates are arrivals after an item's first.
	Duplicates uint64 `json:"duplicates"`
	// Unconfirmed items arrived although their sender was told otherwise, or nothing.
	Unconfirmed uint64 `json:"unconfirmed"`
	// Unknown items arrived and were never sent.
	Unknown   uint64 `json:"unknown"`
	Corrupted uint64 `json:"corrupted"`
	TraceLost uint64 `json:"trace_lost"`
	// Malformed is in requests.
	Malformed uint64 `json:"malformed_requests"`
}

// Count adds up the ledger. It is meant for the end of a run: what moves meanwhile may be counted or not.
func (l *Ledger) Count() Counts {
	c := Counts{
		Received: l.received.Load(), Unknown: l.unknown.Load(), Corrupted: l.corrupted.Load(),
		TraceLost: l.traceLost.Load(), Malformed: l.malformed.Load(),
	}
	l.arrivals.each(func(number uint64, times byte) {
		state := l.requests.get(number / l.itemsPerRequest)
		if times > 1 {
			c.Duplicates += uint64(times - 1)
		}
		switch state {
		case 0:
			c.Unknown++
		case sent, refused:
			c.Unconfirmed++
		}
	})
	n := l.itemsPerRequest
	l.requests.each(func(seq uint64, state byte) {
		c.Sent += n
		switch state {
		case refused:
			c.Refused += n
		case acknowledged:
			c.Acknowledged += n
			c.Lost += l.arrivals.zeros(seq*n, n)
		}
	})
	return c
}

// Pending is how many acknowledged items have not arrived yet: what a run waits for at its end.
func (l *Ledger) Pending() uint64 {
	var pending uint64
	n := l.itemsPerRequest
	l.requests.each(func(seq uint64, state byte) {
		if state == acknowledged {
			pending += l.arrivals.zeros(seq*n, n)
		}
	})
	return pending
}

// table is an array of bytes that grows in chunks.
type table struct {
	mu     sync.RWMutex // guards the slice; taken before a chunk's lock
	chunks []*chunk
}

type chunk struct {
	mu    sync.Mutex
	cells [chunkItems]byte
}

// chunk returns nil where the index is beyond what a run can hold.
func (t *table) chunk(index uint64) *chunk {
	if index >= MaxItems {
		return nil
	}
	i := int(index / chunkItems)
	t.mu.RLock()
	if i < len(t.chunks) && t.chunks[i] != nil {
		defer t.mu.RUnlock()
		return t.chunks[i]
	}
	t.mu.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.chunks) <= i {
		t.chunks = append(t.chunks, nil)
	}
	if t.chunks[i] == nil {
		t.chunks[i] = new(chunk)
	}
	return t.chunks[i]
}

func (t *table) set(index uint64, state byte) {
	c := t.chunk(index)
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cell := &c.cells[index%chunkItems]; *cell != acknowledged {
		*cell = state
	}
}

func (t *table) get(index uint64) byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := index / chunkItems
	if i >= uint64(len(t.chunks)) || t.chunks[i] == nil {
		return 0
	}
	c := t.chunks[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cells[index%chunkItems]
}

// increment counts every number and returns how many were beyond the table.
func (t *table) increment(numbers []uint64) (missed uint64) {
	for len(numbers) > 0 {
		at := numbers[0] / chunkItems
		run := 1
		for run < len(numbers) && numbers[run]/chunkItems == at {
			run++
		}
		c := t.chunk(numbers[0])
		if c == nil {
			missed += uint64(run)
		} else {
			c.mu.Lock()
			for _, number := range numbers[:run] {
				if cell := &c.cells[number%chunkItems]; *cell < 255 {
					*cell++
				}
			}
			c.mu.Unlock()
		}
		numbers = numbers[run:]
	}
	return missed
}

// each visits the cells that are not zero.
func (t *table) each(visit func(index uint64, cell byte)) {
	t.mu.RLock()
	chunks := t.chunks
	t.mu.RUnlock()
	for i, c := range chunks {
		if c == nil {
			continue
		}
		c.mu.Lock()
		cells := c.cells
		c.mu.Unlock()
		for j, cell := range cells {
			if cell != 0 {
				visit(uint64(i)*chunkItems+uint64(j), cell)
			}
		}
	}
}

// zeros counts the cells among n from index that are zero.
func (t *table) zeros(index, n uint64) (zeros uint64) {
	for i := index; i < index+n; i++ {
		if t.get(i) == 0 {
			zeros++
		}
	}
	return zeros
}
