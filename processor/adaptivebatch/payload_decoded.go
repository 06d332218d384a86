package adaptivebatch

import (
	"context"
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// decodedSignal is what the carrying of one signal's pdata needs to know of it. T is a pdata value such as ptrace.Traces.
type decodedSignal[T any] struct {
	items func(T) int
	size  func(T) int
	// resources returns the number of top-level entries, ResourceSpans for example.
	resources func(T) int
	// move appends the entries of the second to the first and empties it.
	move func(to, from T)
	// copyOf returns a copy of the entries [from, to).
	copyOf func(data T, from, to int) T
	// cut moves the first n items to a new value, with copies of their resource and scope.
	cut func(data T, n int) T
	// place returns where data can be cut, with n items before if possible, see placeIn.
	place func(data T, n, credit int) (place, bool)
	empty func() T
	// own makes a value outlive the call of the next consumer: a Collector's graph may end the life of what nobody owns.
	own func(T)
	// encode and decode are for calls that are encoded on arrival.
	encode  func(T, mem.BufferPool) (*wire.Request, error)
	decode  func(*wire.Request) (T, error)
	consume func(ctx context.Context, data T) error
	// mutates says that what is handed to consume may be changed, also when it then fails.
	mutates bool
	// joining guards what a join changes of its payloads: a caller may take back its own meanwhile.
	joining sync.Mutex
}

// decoded is a caller's pdata, taken out of the caller's value.
type decoded[T any] struct {
	signal *decodedSignal[T]
	data   T
	n      int
	size   int
	// pieces is what it was split into, if it was.
	pieces []payload
	// content is what it was joined to, as the part of this index; nil before. Both are guarded by the signal's mutex.
	content *decodedContent[T]
	index   int
}

func (s *decodedSignal[T]) payload(data T) payload {
	return &decoded[T]{signal: s, data: data, n: s.items(data), size: s.size(data)}
}

// take moves a caller's data to a payload: nobody but this processor touches it from then on, whatever the caller does with its value.
func (s *decodedSignal[T]) take(data T) *decoded[T] {
	own := s.empty()
	s.move(own, data)
	return s.payload(own).(*decoded[T])
}

// giveBack puts into a caller's value what was taken from it: a copy of what may be on its way. The payload may be in a batch of which
// others wait for the result, but the caller has its answer.
func (d *decoded[T]) giveBack(to T) {
	for _, piece := range d.pieces {
		piece.(*decoded[T]).giveBack(to)
	}
	if d.pieces != nil {
		return
	}
	d.signal.joining.Lock()
	content := d.content
	if content == nil {
		d.signal.move(to, d.data)
	}
	d.signal.joining.Unlock()
	if content != nil {
		d.signal.move(to, content.part(d.index, d.index+1))
	}
}

func (d *decoded[T]) items() int { return d.n }
func (d *decoded[T]) bytes() int { return d.size }
func (d *decoded[T]) free()      {}

// split cuts by items, and halves what is still larger than maxBytes: encoded sizes of single items are not known
// without encoding them, and requests above the limit are rare. What it repeats of resources and scopes is bounded as by wire.Request.Split:
// a cut is made only where the headers it repeats have no more bytes than the items before it, less what was repeated, and wire.FreeRepeats. The
// payloads together have at most twice the bytes of this one, wire.FreeRepeats, and for each of them a few bytes of tags and lengths.
func (d *decoded[T]) split(maxItems, maxBytes int) ([]payload, error) {
	var out []payload
	rest := []remainder[T]{{d, d.size}}
	credit := wire.FreeRepeats
	for len(rest) > 0 {
		p := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		n := p.n
		if maxItems > 0 && n > maxItems {
			n = maxItems
		} else if maxBytes > 0 && p.size > maxBytes {
			n = p.n / 2
		}
		var at place
		cut := false
		if n > 0 && n < p.n {
			at, cut = d.signal.place(p.data, n, credit)
		}
		if !cut {
			credit += p.own
			out = append(out, p.decoded)
			continue
		}
		credit -= at.repeated
		head := d.signal.payload(d.signal.cut(p.data, at.items)).(*decoded[T])
		tail := d.signal.payload(p.data).(*decoded[T])
		rest = append(rest, remainder[T]{tail, p.own - at.bytes}, remainder[T]{head, at.bytes})
	}
	if len(out) > 1 {
		d.pieces = out
	}
	return out, nil
}

// remainder is a part of a payload that is being split.
type remainder[T any] struct {
	*decoded[T]
	own int // its bytes without headers that stand in a later part too
}

func (d *decoded[T]) join(all []payload) content {
	d.signal.joining.Lock()
	defer d.signal.joining.Unlock()
	c := &decodedContent[T]{signal: d.signal, data: d.data, ends: make([]int, len(all))}
	d.signal.own(c.data)
	for i, p := range all {
		part := p.(*decoded[T])
		if i > 0 {
			d.signal.move(c.data, part.data)
		}
		c.ends[i] = d.signal.resources(c.data)
		part.content, part.index = c, i
	}
	return c
}

// decodedContent is the joined pdata. Each part keeps its own top-level entries, so that it can be found again.
type decodedContent[T any] struct {
	signal *decodedSignal[T]
	data   T
	ends   []int // of each part's entries
}

func (c *decodedContent[T]) start(i int) int {
	if i == 0 {
		return 0
	}
	return c.ends[i-1]
}

func (c *decodedContent[T]) part(from, to int) T {
	return c.signal.copyOf(c.data, c.start(from), c.ends[to-1])
}

func (c *decodedContent[T]) send(ctx context.Context, from, to int) error {
	if from == 0 && to == len(c.ends) && !c.signal.mutates {
		return c.signal.consume(ctx, c.data)
	}
	return c.signal.consume(ctx, c.part(from, to))
}

func (c *decodedContent[T]) divide(i, maxItems int) ([]payload, error) {
	return c.signal.payload(c.part(i, i+1)).split(maxItems, 0)
}

func (c *decodedContent[T]) free() {}
