package sink

import (
	"sync"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

// Slices live as long as one request; their number is bounded by the requests in service.
var (
	itemSlices   = sync.Pool{New: func() any { return new([]payload.Item) }}
	numberSlices = sync.Pool{New: func() any { return new([]uint64) }}
)

// read takes the items out of an encoded request: their numbers, and their content where that is checked.
func (s *Sink) read(body []byte, items *[]payload.Item) error {
	if s.settings.Content {
		return s.settings.Set.Items(body, func(item payload.Item) { *items = append(*items, item) })
	}
	return s.settings.Set.Numbers(body, func(number uint64) { *items = append(*items, payload.Item{Number: number}) })
}

// note enters accepted items into the ledger.
func (s *Sink) note(items []payload.Item) {
	if s.settings.Tamper != nil {
		items = s.settings.Tamper(items)
	}
	numbers := numberSlices.Get().(*[]uint64)
	defer func() { *numbers = (*numbers)[:0]; numberSlices.Put(numbers) }()
	for i := range items {
		*numbers = append(*numbers, items[i].Number)
	}
	s.settings.Ledger.Arrivals(*numbers)
	if !s.settings.Content {
		return
	}
	for i := range items {
		s.check(&items[i])
	}
}

func (s *Sink) check(item *payload.Item) {
	if item.Number >= ledger.MaxItems {
		return // unknown, and counted as that
	}
	if item.Checksum != s.settings.Set.Checksum(item.Number) {
		s.settings.Ledger.Corrupted()
	}
	if !item.TraceKept {
		s.settings.Ledger.TraceLost()
	}
}
