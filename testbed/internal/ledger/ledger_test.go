package ledger

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func numbers(from, n uint64) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = from + uint64(i)
	}
	return out
}

func TestLossIsOfAcknowledgedItemsOnly(t *testing.T) {
	l := New(10)
	for seq := range uint64(4) {
		l.Sent(seq)
	}
	l.Acknowledged(0)
	l.Acknowledged(1)
	l.Refused(2)
	l.Arrivals(numbers(0, 9)) // one item of request 0 and all of request 1 are missing
	l.Arrivals(numbers(20, 3))
	assert.Equal(t, Counts{Sent: 40, Acknowledged: 20, Refused: 10, Received: 12, Lost: 11, Unconfirmed: 3}, l.Count())
	assert.EqualValues(t, 11, l.Pending())
	l.Arrivals(numbers(9, 11))
	assert.Zero(t, l.Pending())
	assert.Zero(t, l.Count().Lost)
}

func TestDuplicatesAreCountedPerArrival(t *testing.T) {
	l := New(2)
	l.Sent(0)
	l.Acknowledged(0)
	for range 3 {
		l.Arrivals(numbers(0, 2))
	}
	assert.Equal(t, Counts{Sent: 2, Acknowledged: 2, Received: 6, Duplicates: 4}, l.Count())
	for range 300 {
		l.Arrivals([]uint64{0})
	}
	assert.EqualValues(t, 254+2, l.Count().Duplicates, "a counter stops at 255 and does not begin anew")
}

func TestItemsNeverSentAreUnknown(t *testing.T) {
	l := New(10)
	l.Sent(0)
	l.Arrivals([]uint64{MaxItems, ^uint64(0), 55})
	assert.EqualValues(t, 3, l.Count().Unknown)
}

func TestAnAcknowledgementStays(t *testing.T) {
	l := New(1)
	l.Sent(0)
	l.Acknowledged(0)
	l.Refused(0)
	l.Sent(0)
	assert.EqualValues(t, 1, l.Count().Acknowledged)
}

func TestFaultsOfContentAreCounted(t *testing.T) {
	l := New(1)
	l.Corrupted()
	l.TraceLost()
	l.Malformed()
	assert.Equal(t, Counts{Corrupted: 1, TraceLost: 1, Malformed: 1}, l.Count())
}

func TestManyGoroutinesCountEveryItemOnce(t *testing.T) {
	const requests, perRequest = 2000, 100
	l := New(perRequest)
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			for seq := worker; seq < requests; seq += 8 {
				l.Sent(seq)
				l.Arrivals(numbers(seq*perRequest, perRequest))
				l.Acknowledged(seq)
			}
		})
	}
	wg.Wait()
	assert.Equal(t, Counts{Sent: requests * perRequest, Acknowledged: requests * perRequest, Received: requests * perRequest}, l.Count())
	assert.EqualValues(t, requests*perRequest, l.Received())
}

func BenchmarkArrivals(b *testing.B) {
	l := New(100)
	batch := numbers(0, 100)
	for b.Loop() {
		l.Arrivals(batch)
	}
}
