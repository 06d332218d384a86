package adaptivebatch

import "iter"

// place is where decoded telemetry is cut. Sizes are in bytes as encoded.
type place struct {
	items int // before it
	bytes int // of these; the headers of the containers that it divides are not among them
	// repeated is the size of these headers, which stand on both sides of the cut.
	repeated int
}

// container is what a cut may divide: a resource, a scope or a metric with its items.
type container struct {
	items  int
	size   func() int // with all that is in it
	header func() int // of what stands on both sides where it is divided
	// inner are the containers in it; nil where it holds items, whose sizes are sizes.
	inner iter.Seq[container]
	sizes iter.Seq[int]
}

// newContainer describes a container of pdata. empty makes one without anything, and copyHeader copies to it what a cut does.
func newContainer[T any](of T, items int, size func(T) int, empty func() T, copyHeader func(from, to T)) container {
	return container{
		items: items,
		size:  func() int { return size(of) },
		header: func() int {
			bare := empty()
			copyHeader(of, bare)
			return size(bare)
		},
	}
}

// each is what describe makes of each element of a pdata slice.
func each[T, R any](all iter.Seq2[int, T], describe func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		for _, element := range all {
			if !yield(describe(element)) {
				return
			}
		}
	}
}

// placeIn returns a place with items before and after it where a cut repeats no more than the items before it have bytes, and credit. It is the
// last with at most n items before it, or else the first with more.
func placeIn(all iter.Seq[container], n, credit int) (place, bool) {
	s := placeSearch{n: n, credit: credit}
	found := s.within(all, 0)
	return s.found, found
}

// placeSearch is at a place, which it moves on.
type placeSearch struct {
	place
	n, credit int
	found     place // the last at which a cut is allowed
}

// tagAndLength is what a message has at least around its body.
const tagAndLength = 2

// within goes through containers; repeated is the size of the headers around them. It reports whether the search is over.
func (s *placeSearch) within(all iter.Seq[container], repeated int) bool {
	for c := range all {
		switch {
		case c.items == 0:
		case s.isOver(repeated):
			return true
		case s.items+c.items <= s.n:
			s.items += c.items
			s.bytes += c.size() + tagAndLength
		case c.inner != nil:
			if s.within(c.inner, repeated+c.header()) {
				return true
			}
		default:
			if s.among(c.sizes, repeated+c.header()) {
				return true
			}
		}
	}
	return false
}

// among goes through items.
func (s *placeSearch) among(sizes iter.Seq[int], repeated int) bool {
	for size := range sizes {
		if s.isOver(repeated) {
			return true
		}
		s.items++
		s.bytes += size + tagAndLength
	}
	return false
}

// isOver looks at the place where the search is.
func (s *placeSearch) isOver(repeated int) bool {
	s.repeated = repeated
	if s.items > 0 && repeated <= s.credit+s.bytes {
		s.found = s.place
	}
	return s.items >= s.n && s.found.items > 0
}
