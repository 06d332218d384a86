package adaptivebatch

import (
	"context"

	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// decodedSignal is what the carrying of one signal's pdata needs to know of it. T is a pdata value such as ptrace.Traces.
type decodedSignal[T any] struct {
	// kind tells apart the payloads of one processor, see streamKey.
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
	// empty, encode and decode are for calls that are encoded on arrival.
	empty   func() T
	encode  func(T, mem.BufferPool) (*wire.Request, error)
	decode  func(*wire.Request) (T, error)
	consume func(ctx context.Context, data T) error
	// mutates says that what is handed to consume may be changed, also when it then fails.
	mutates bool
}

// decoded is a caller's pdata.
type decoded[T any] struct {
	signal *decodedSignal[T]
	data   T
	n      int
	size   int
}

func (s *decodedSignal[T]) payload(data T) payload {
	return &decoded[T]{signal: s, data: data, n: s.items(data), size: s.size(data)}
}

func (d *decoded[T]) items() int { return d.n }
func (d *decoded[T]) bytes() int { return d.size }
func (d *decoded[T]) free()      {}

// split cuts by items, and halves what is still larger than maxBytes: encoded sizes of single items are not known
// without encoding them, and requests above the limit are rare.
func (d *decoded[T]) split(maxItems, maxBytes int) ([]payload, error) {
	var out []payload
	rest := []*decoded[T]{d}
	for len(rest) > 0 {
		p := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		n := p.n
		if maxItems > 0 && n > maxItems {
			n = maxItems
		} else if maxBytes > 0 && p.size > maxBytes {
			n = p.n / 2
		}
		if n == 0 || n == p.n {
			out = append(out, p)
			continue
		}
		head := d.signal.payload(d.signal.cut(p.data, n)).(*decoded[T])
		tail := d.signal.payload(p.data).(*decoded[T])
		rest = append(rest, tail, head)
	}
	return out, nil
}

func (d *decoded[T]) join(all []payload) content {
	c := &decodedContent[T]{signal: d.signal, data: d.data, ends: make([]int, len(all))}
	c.ends[0] = d.signal.resources(d.data)
	for i, p := range all[1:] {
		d.signal.move(c.data, p.(*decoded[T]).data)
		c.ends[i+1] = d.signal.resources(c.data)
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
