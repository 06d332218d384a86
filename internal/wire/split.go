package wire

import (
	"errors"
	"fmt"
	"math/bits"

	"google.golang.org/grpc/mem"
)

// FreeRepeats is how many bytes of headers a split may repeat whatever the size of the items: small requests are divided
// just as the limits say.
const FreeRepeats = 64 << 10

// Split divides r into requests of at most maxItems items and maxBytes encoded bytes; 0 means no limit. The items keep
// their order, and every request but the last is as full as the order allows. An item that is alone larger than maxBytes
// becomes a request of its own.
//
// Items are not copied: the requests refer to r's buffers. Where a limit falls inside a resource, its resource and scope
// fields (of a metric: its name and the like, too) are repeated in a buffer of the pool. Of a metric's several data
// fields only the last is kept when the metric is divided, of a resource with scopes and deprecated scopes only the
// scopes, and of a divided request no unknown fields: the others are what a decoder sees.
//
// What is repeated is never more than the bytes of the items that came before, and FreeRepeats: whoever sends a resource of
// megabytes with thousands of tiny items would else have it multiplied by their number. A request that may not end yet goes
// on beyond the limits until it may, so all requests together have at most twice the bytes of r, FreeRepeats, and for each of them
// a few bytes of tags and lengths.
//
// On success r is consumed; the result may be r itself. On error r is unchanged. Profiles beyond a limit are an error.
func (r *Request) Split(maxItems, maxBytes int, pool mem.BufferPool) ([]*Request, error) {
	if maxItems < 0 || maxBytes < 0 {
		return nil, fmt.Errorf("split: limits must not be negative, found %d items and %d bytes", maxItems, maxBytes)
	}
	if (maxItems == 0 || r.items <= maxItems) && (maxBytes == 0 || r.bytes <= maxBytes) {
		return []*Request{r}, nil
	}
	if r.signal == Profiles {
		return nil, errIndivisible
	}
	s := splitter{
		source: newSource(r.buffers), signal: r.signal, irregular: r.irregular, pool: pool,
		maxItems: maxItems, maxBytes: maxBytes, credit: FreeRepeats,
	}
	start := 0
	for _, p := range r.ownParts() {
		if err := s.addPart(span{start, start + p.bytes}, p.items); err != nil {
			s.discard()
			return nil, fmt.Errorf("split: %w", err)
		}
		start += p.bytes
	}
	if len(s.out) > 0 || s.piece.size < r.bytes {
		s.closePiece()
	}
	if len(s.out) == 0 {
		return []*Request{r}, nil // nothing in it can be divided, or left out
	}
	r.Free()
	return s.out, nil
}

// span is a range of offsets in the source.
type span struct{ start, end int }

func (s span) len() int { return s.end - s.start }

// child is one field of a container that holds items.
type child struct {
	whole span // tag, length and body
	body  span
	tag   int32 // the field number
}

// splitter goes through a request once, in order, and fills one piece after the other.
type splitter struct {
	source             source
	signal             Signal
	irregular          bool
	pool               mem.BufferPool
	maxItems, maxBytes int
	// credit is how many bytes of headers may be repeated: those of the items so far and FreeRepeats, less what was.
	credit int

	out   []*Request
	piece piece
	// open are the containers around the place where the splitter is: resource, scope, metric, data. They are written to
	// a piece only when the first item within them is.
	open []container
}

// container is a message that is divided.
type container struct {
	tag    int32
	header []span // its fields that do not hold items; repeated in every piece
	size   int    // of the header
	// Within the current piece:
	written bool
	slot    int // the segment kept for tag, length and header
	body    int // bytes of the message so far; the container open within it not included
}

// levels names the containers of each signal from the request inwards; what the last one contains are the items.
var levels = [...][]message{
	Traces:  {msgTracesRequest, msgResourceSpans, msgScopeSpans},
	Metrics: {msgMetricsRequest, msgResourceMetrics, msgScopeMetrics, msgMetric, msgGauge},
	Logs:    {msgLogsRequest, msgResourceLogs, msgScopeLogs},
}

// addPart adds one of the original requests.
func (s *splitter) addPart(whole span, items int) error {
	defer s.piece.endPart()
	if s.fits(items, whole.len()) {
		s.piece.add(whole, items)
		s.credit += whole.len()
		return nil
	}
	return s.source.children(levels[s.signal][0], whole, func(c child) error { return s.add(1, c) })
}

// add adds a field that holds items: whole if the piece has room, else divided.
func (s *splitter) add(level int, c child) error {
	items, err := s.count(level, c.body)
	if err != nil {
		return err
	}
	if s.maxItems > 0 && s.piece.items >= s.maxItems && items > 0 {
		s.dividePiece()
	}
	if s.fits(items, c.whole.len()) {
		s.write(c.whole, items)
		return nil
	}
	if level < len(levels[s.signal]) {
		header, children, err := s.source.header(levels[s.signal][level], c.body)
		if err != nil {
			return err
		}
		if children > 0 {
			return s.divide(level, c, header)
		}
	}
	// It cannot be divided further: it begins a piece, and is one if it is too large.
	s.dividePiece()
	s.write(c.whole, items)
	return nil
}

// divide adds the message's children one by one.
func (s *splitter) divide(level int, c child, header []span) error {
	size := 0
	for _, h := range header {
		size += h.len()
	}
	s.open = append(s.open, container{tag: c.tag, header: header, size: size, body: size})
	err := s.source.children(levels[s.signal][level], c.body, func(c child) error { return s.add(level+1, c) })
	s.closeContainer()
	return err
}

// fits reports whether a field of n bytes with its items has room in the piece, within the open containers.
func (s *splitter) fits(items, n int) bool {
	if s.maxItems > 0 && items > 0 && s.piece.items+items > s.maxItems {
		return false
	}
	if s.maxBytes == 0 {
		return true
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		n += s.open[i].body
		n += tagSize(s.open[i].tag) + varintSize(n)
	}
	return s.piece.size+n <= s.maxBytes
}

// write adds a field to the innermost open container, or to the request.
func (s *splitter) write(field span, items int) {
	for i := range s.open {
		if o := &s.open[i]; !o.written {
			o.written = true
			o.slot = s.piece.reserve()
		}
	}
	s.piece.addSegment(segment{span: field})
	s.piece.items += items
	s.credit += field.len()
	s.grow(len(s.open), field.len())
}

// grow counts n bytes written within the first depth containers.
func (s *splitter) grow(depth, n int) {
	if depth == 0 {
		s.piece.size += n
		return
	}
	s.open[depth-1].body += n
}

// closeContainer ends the innermost container.
func (s *splitter) closeContainer() {
	s.finish(len(s.open) - 1)
	s.open = s.open[:len(s.open)-1]
}

// finish fills in the slot of an open container, if anything was written within it.
func (s *splitter) finish(i int) {
	o := &s.open[i]
	if !o.written {
		return
	}
	s.piece.fill(o.slot, o)
	s.grow(i, tagSize(o.tag)+varintSize(o.body)+o.body)
	o.written, o.body = false, o.size
}

// dividePiece ends the piece, unless its containers, which go on in the next, have headers too large to be repeated.
func (s *splitter) dividePiece() {
	repeated := 0
	for i := range s.open {
		if s.open[i].written {
			repeated += s.open[i].size
		}
	}
	if repeated > s.credit {
		return
	}
	s.credit -= repeated
	s.closePiece()
}

// closePiece ends the piece and leaves the containers open for the next.
func (s *splitter) closePiece() {
	for i := len(s.open) - 1; i >= 0; i-- {
		s.finish(i)
	}
	if s.piece.empty() {
		return
	}
	s.piece.endPart()
	s.out = append(s.out, s.piece.request(s))
	s.piece.reset()
}

// discard frees what was built before an error.
func (s *splitter) discard() {
	for _, r := range s.out {
		r.Free()
	}
}

// count returns the items of a field at a level: those of a message there, or one.
func (s *splitter) count(level int, body span) (int, error) {
	if level == len(levels[s.signal]) {
		return 1, nil
	}
	items := 0
	err := s.source.children(levels[s.signal][level], body, func(c child) error {
		n, err := s.count(level+1, c.body)
		items += n
		return err
	})
	return items, err
}

var errLength = errors.New("a field ends beyond its message: the buffers were changed after the check")

func varintSize(n int) int { return max(1, (bits.Len(uint(n))+6)/7) }

func tagSize(number int32) int { return varintSize(int(number) << 3) }
