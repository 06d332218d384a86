package controller

import (
	"iter"
	"math"
	"math/bits"
	"time"
)

// classes knows what requests of about the same number of items took, with about as many in flight, each class for itself. A
// straight line is a good guess between the sizes that were seen, and a bad one beyond: a backend may take many times longer for
// an item above some size. And what looks like that may be queueing, unless smaller requests did not queue as much.
type classes struct {
	of [sizeClasses][flightClasses]class
	// sizes and flights have a bit for each that was seen: they are few, and every request looks at all of them.
	sizes, flights uint64
}

// class sums up the requests of one class, weighted and decayed like those of the model.
type class struct {
	weight, items, seconds float64
	seen                   int
	at                     time.Time
	// fastest is the least that an item took in the last few requests. Chance makes some requests much longer, never all of them.
	fastest float64
}

const (
	// sizeClasses, two for each doubling, is enough for a million items; flightClasses, one for each doubling, for 256 in flight.
	// What is more counts as the last class.
	sizeClasses   = 41
	flightClasses = 9
	// classSeen is the number of requests from which on a class is trusted.
	classSeen = 4
	// classKeep is what remains of a request's weight after each further one of its class. The last few are enough to tell a
	// factor of two, and a backend that has become slower is not taken for one that dislikes a size.
	classKeep = 1 - 1.0/8
	// fastestGrowth lets the fastest request be forgotten: one half as fast as those that follow, within eight.
	fastestGrowth = 1.1
	// classAge is how long a class that saw nothing more still says what sizes cost.
	classAge = 30 * time.Second
	// fitSpread is the ratio of sizes from which on a line through them says something.
	fitSpread = 2
	// dear is how many times longer than in a smaller request an item must take for a size to be too large. Up to it, what
	// fewer requests save may be worth more.
	dear = 2
)

func sizeClass(items float64) int { return min(sizeClasses-1, int(2*math.Log2(max(1, items)))) }

func flightClass(inFlight int) int {
	return min(flightClasses-1, int(math.Log2(float64(max(1, inFlight)))))
}

// each yields the numbers of the bits that are set, from the lowest.
func each(set uint64) iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; set != 0; set &= set - 1 {
			if !yield(bits.TrailingZeros64(set)) {
				return
			}
		}
	}
}

// smallestOf returns the number of items at which a class begins.
func smallestOf(class int) float64 { return math.Exp2(float64(class) / 2) }

func (c *classes) observe(o Observation, weight float64) {
	items, seconds := float64(o.Items), o.Latency.Seconds()
	size, flight := sizeClass(items), flightClass(o.Among)
	c.sizes |= 1 << size
	c.flights |= 1 << flight
	k := &c.of[size][flight]
	k.weight = k.weight*classKeep + weight
	k.items = k.items*classKeep + weight*items
	k.seconds = k.seconds*classKeep + weight*seconds
	if perItem := seconds / items; k.seen == 0 || perItem < fastestGrowth*k.fastest {
		k.fastest = perItem
	} else {
		k.fastest *= fastestGrowth
	}
	k.seen++
	k.at = o.Now
}

// scale corrects all that is remembered by a factor.
func (c *classes) scale(by float64) {
	for i := range c.of {
		for j := range c.of[i] {
			c.of[i][j].seconds *= by
			c.of[i][j].fastest *= by
		}
	}
}

// mean returns the weighted mean of the sizes and the latencies of requests of about so many items; it is known once enough of
// them were seen.
func (c *classes) mean(items float64) (meanItems, seconds float64, known bool) {
	var sum class
	for _, k := range &c.of[sizeClass(items)] {
		sum.weight += k.weight
		sum.items += k.items
		sum.seconds += k.seconds
		sum.seen += k.seen
	}
	if sum.seen < classSeen {
		return 0, 0, false
	}
	return sum.items / sum.weight, sum.seconds / sum.weight, true
}

// paidOff returns the number of items that take as long as the fixed part of a request: of the line through the sizes that were seen
// with about as many in flight, the fewest for which there are sizes to compare. Queueing makes a request take as many times longer whatever its
// size, so it does not change this number, while the line through all requests takes it for a price of items where larger requests were
// sent when more were in flight. What was seen lately goes first: a moment in which the machine stood still says the wrong thing, and the
// sizes that it makes of batches may not be those that would correct it.
func (c *classes) paidOff(now time.Time) (items float64, ok bool) {
	if items, ok = c.paidOffSince(now.Add(-memory)); ok {
		return items, true
	}
	return c.paidOffSince(now.Add(-classAge))
}

// paidOffSince is paidOff of the classes that saw something since then.
func (c *classes) paidOffSince(then time.Time) (items float64, ok bool) {
	for flight := range each(c.flights) {
		var w, x, y, xx, xy float64
		smallest, largest := math.Inf(1), 0.0
		for size := range each(c.sizes) {
			k := &c.of[size][flight]
			if k.seen < classSeen || k.at.Before(then) {
				continue
			}
			n, seconds := k.items/k.weight, k.seconds/k.weight
			smallest, largest = min(smallest, n), max(largest, n)
			weight := 1 / (seconds * seconds) // chance is in proportion to what a request takes
			w, x, y = w+weight, x+weight*n, y+weight*seconds
			xx, xy = xx+weight*n*n, xy+weight*n*seconds
		}
		if largest < fitSpread*smallest {
			continue
		}
		b := (w*xy - x*y) / (w*xx - x*x)
		a := (y - b*x) / w
		switch {
		case b <= 0:
			return math.MaxInt32, true
		case a > 0:
			return a / b, true
		}
	}
	return 0, false
}

// tooDear reports whether an item takes much longer in a request of about so many items than in a smaller one with no fewer
// in flight, and the largest size at which it does not; it is known if there is anything to compare with.
func (c *classes) tooDear(items float64, inFlight int) (upTo float64, dearer, known bool) {
	size, flight := sizeClass(items), flightClass(inFlight)
	k := &c.of[size][flight]
	if k.seen < classSeen {
		return 0, false, false
	}
	bearable := k.fastest / dear
	for i := range each(c.sizes & (1<<size - 1)) {
		for j := range each(c.flights) {
			s := &c.of[i][j]
			if s.seen < classSeen {
				continue
			}
			cheap := s.seconds/s.items < bearable
			if cheap {
				upTo = smallestOf(i + 1)
			}
			known = known || j >= flight
			dearer = dearer || cheap && j >= flight
		}
	}
	return upTo, dearer, known
}
