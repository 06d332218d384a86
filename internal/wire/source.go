package wire

import (
	"sort"

	"google.golang.org/grpc/mem"
)

// source reads a checked request's buffers by offset.
type source struct {
	buffers mem.BufferSlice
	starts  []int // the offset of each buffer
}

func newSource(buffers mem.BufferSlice) source {
	starts := make([]int, len(buffers))
	at := 0
	for i, b := range buffers {
		starts[i] = at
		at += b.Len()
	}
	return source{buffers: buffers, starts: starts}
}

// at returns the index of the buffer that holds the byte at an offset.
func (s *source) at(offset int) int {
	return max(0, sort.SearchInts(s.starts, offset+1)-1)
}

// cursorAt returns a cursor on the byte at an offset.
func (s *source) cursorAt(offset int) cursor {
	if len(s.buffers) == 0 {
		return cursor{}
	}
	i := s.at(offset)
	return cursor{
		current: s.buffers[i].ReadOnlyData(),
		pos:     offset - s.starts[i],
		base:    s.starts[i],
		rest:    s.buffers[i+1:],
	}
}

// appendTo appends the bytes of a range to dst.
func (s *source) appendTo(dst []byte, r span) []byte {
	c := s.cursorAt(r.start)
	for n := r.len(); n > 0; {
		b := c.available()
		b = b[:min(n, len(b))]
		dst = append(dst, b...)
		c.pos += len(b)
		n -= len(b)
	}
	return dst
}

// views appends buffers that refer to a range, each with a reference of its own.
func (s *source) views(dst mem.BufferSlice, r span) mem.BufferSlice {
	for i := s.at(r.start); r.start < r.end; i++ {
		b := s.buffers[i]
		from := r.start - s.starts[i]
		to := min(b.Len(), r.end-s.starts[i])
		if from < to {
			dst = append(dst, b.Slice(from, to))
			r.start += to - from
		}
	}
	return dst
}

// header returns the fields of a message that do not hold items, and how many do.
func (s *source) header(m message, body span) (header []span, children int, _ error) {
	held, err := s.holder(m, body)
	if err != nil {
		return nil, 0, err
	}
	err = s.fields(body, func(c child, t wireType) error {
		switch {
		case held.has(c, t):
			children++
		case isHolder(m, c.tag):
			// A decoder drops it.
		case len(header) > 0 && header[len(header)-1].end == c.whole.start:
			header[len(header)-1].end = c.whole.end
		default:
			header = append(header, c.whole)
		}
		return nil
	})
	return header, children, err
}

// children calls yield for the fields of a message that hold items.
func (s *source) children(m message, body span, yield func(child) error) error {
	held, err := s.holder(m, body)
	if err != nil {
		return err
	}
	return s.fields(body, func(c child, t wireType) error {
		if held.has(c, t) {
			return yield(c)
		}
		return nil
	})
}

// holder says which of a message's fields hold the items that a decoder sees: the fields of a number, or, of a metric,
// the one that ends the oneof.
type holder struct {
	tag   int32
	start int // where the only one starts; -1: all of them
}

func (h holder) has(c child, t wireType) bool {
	return t == typeLen && c.tag == h.tag && (h.start < 0 || h.start == c.whole.start)
}

func (s *source) holder(m message, body span) (holder, error) {
	h := holder{tag: itemField(m), start: -1}
	if traits[m] != traitResource && traits[m] != traitMetric {
		return h, nil
	}
	if traits[m] == traitResource {
		h.tag = deprecatedScopes
	}
	err := s.fields(body, func(c child, _ wireType) error {
		switch {
		case traits[m] == traitMetric && isHolder(m, c.tag):
			h = holder{tag: c.tag, start: c.whole.start}
		case traits[m] == traitResource && c.tag == itemField(m):
			h.tag = c.tag
		}
		return nil
	})
	return h, err
}

// itemField is the number of the field that leads to the items.
func itemField(m message) int32 {
	switch traits[m] {
	case traitResource, traitScope, traitOldScope:
		return 2
	default: // requests, and a metric's data
		return 1
	}
}

// isHolder reports whether a field may lead to the items.
func isHolder(m message, tag int32) bool {
	switch traits[m] {
	case traitMetric:
		f, known := fieldOf(m, tag)
		return known && traits[f.message] == traitData
	case traitResource:
		return tag == itemField(m) || tag == deprecatedScopes
	default:
		return tag == itemField(m)
	}
}

// fields calls yield for every field of a message. The body of a field that is not length-delimited is empty.
func (s *source) fields(body span, yield func(child, wireType) error) error {
	c := s.cursorAt(body.start)
	for c.offset() < body.end {
		field := child{whole: span{start: c.offset()}}
		tag, t, r := c.tag()
		if r == ok && t == typeLen {
			var n int
			n, r = c.length(body.end)
			field.body = span{c.offset(), c.offset() + n}
			if r == ok {
				r = c.skip(n)
			}
		} else if r == ok {
			r = c.value(t, body.end)
		}
		if r != ok || c.offset() > body.end {
			return errLength
		}
		field.tag, field.whole.end = tag, c.offset()
		if err := yield(field, t); err != nil {
			return err
		}
	}
	return nil
}
