package connpool

import "sync/atomic"

// turns chooses which of several connections carries the next call: each in its turn, passing over those that are behind with their
// answers. One is when the call would bring it to more than one and a half times the mean of the others.
//
// The fewest in flight alone is not even where answers come in bursts, as they do from a backend that answers at once: the
// connection that has just delivered its answers gets all the calls that these set free, and is the next to answer.
type turns struct{ next atomic.Uint32 }

// choose returns a place below n, and the mean of the calls in flight. inFlight returns those on one; a negative number leaves it
// out. It returns a negative mean when all are left out.
func (t *turns) choose(n int, inFlight func(int) int64) (index int, mean int64) {
	var total, counted int64
	least := int64(-1)
	for i := range n {
		calls := inFlight(i)
		if calls < 0 {
			continue
		}
		total += calls
		counted++
		if least < 0 || calls < least {
			index, least = i, calls
		}
	}
	if counted == 0 {
		return 0, -1
	}
	mean = total / counted
	for range n {
		// Each turn is taken by one call, also that of a connection that is passed over: otherwise the one after it would have both.
		i := int((t.next.Add(1) - 1) % uint32(n)) //nolint:gosec // a pool has few connections
		calls := inFlight(i)
		if calls >= 0 && (calls <= least || 2*(counted-1)*(calls+1) <= 3*(total-calls+1)) {
			return i, mean
		}
	}
	return index, mean // calls that began meanwhile took the turns of those that have room
}
