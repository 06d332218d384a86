package wire

import (
	"encoding/binary"

	"google.golang.org/grpc/mem"
)

// piece is a request being put together from ranges of the source and from bytes written anew.
type piece struct {
	segments []segment
	size     int // bytes outside of open containers
	items    int

	parts     []part
	partItems int // items and bytes of the parts before the current one
	partBytes int
}

// segment is a range of the source, or, with a container, its tag, length and header.
type segment struct {
	span
	fresh  bool
	tag    int32
	body   int
	header []span
}

func (p *piece) empty() bool { return len(p.segments) == 0 }

// add adds a range that stands outside of all containers.
func (p *piece) add(s span, items int) {
	p.addSegment(segment{span: s})
	p.items += items
	p.size += s.len()
}

// addSegment adds a range; neighbours become one.
func (p *piece) addSegment(s segment) {
	if last := len(p.segments) - 1; last >= 0 && !p.segments[last].fresh && p.segments[last].end == s.start {
		p.segments[last].end = s.end
		return
	}
	p.segments = append(p.segments, s)
}

// reserve keeps a segment for a container whose length is not known yet.
func (p *piece) reserve() (slot int) {
	p.segments = append(p.segments, segment{fresh: true})
	return len(p.segments) - 1
}

func (p *piece) fill(slot int, c *container) {
	p.segments[slot] = segment{fresh: true, tag: c.tag, body: c.body, header: c.header}
}

// endPart ends the part to which everything since the last call belongs. All containers are closed.
func (p *piece) endPart() {
	if p.size == p.partBytes {
		return
	}
	p.parts = append(p.parts, part{items: p.items - p.partItems, bytes: p.size - p.partBytes})
	p.partItems, p.partBytes = p.items, p.size
}

// reset begins the next piece and keeps the memory for segments.
func (p *piece) reset() {
	clear(p.segments)
	*p = piece{segments: p.segments[:0]}
}

// request makes the piece a request. All containers are closed.
func (p *piece) request(s *splitter) *Request {
	r := &Request{signal: s.signal, irregular: s.irregular, items: p.items, bytes: p.size}
	if len(p.parts) > 1 {
		r.parts = p.parts
	}
	fresh := p.writeFresh(s)
	at := 0
	for _, g := range p.segments {
		if !g.fresh {
			r.buffers = s.source.views(r.buffers, g.span)
			continue
		}
		n := g.freshSize()
		r.buffers = append(r.buffers, fresh.Slice(at, at+n))
		at += n
	}
	if fresh != nil {
		fresh.Free() // the slices hold references
	}
	return r
}

// writeFresh writes the new bytes of all segments into one buffer.
func (p *piece) writeFresh(s *splitter) mem.Buffer {
	size := 0
	for _, g := range p.segments {
		if g.fresh {
			size += g.freshSize()
		}
	}
	if size == 0 {
		return nil
	}
	b := s.pool.Get(size)
	dst := (*b)[:0]
	for _, g := range p.segments {
		if !g.fresh {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(g.tag)<<3|uint64(typeLen))
		dst = binary.AppendUvarint(dst, uint64(g.body))
		for _, h := range g.header {
			dst = s.source.appendTo(dst, h)
		}
	}
	return mem.NewBuffer(b, s.pool)
}

func (g segment) freshSize() int {
	n := tagSize(g.tag) + varintSize(g.body)
	for _, h := range g.header {
		n += h.len()
	}
	return n
}
