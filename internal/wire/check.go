package wire

import "google.golang.org/grpc/mem"

// maxDepth is how deep messages may be nested. google.golang.org/protobuf has the same bound. pdata has none and recurses;
// here a request that nests deeper is refused, so that no peer can make the stack grow without bound.
const maxDepth = 10000

// Check walks over an encoded export request, without joining its buffers and without allocating, and accepts what
// pdata's Unmarshal accepts (but see maxDepth), in any order of fields. On success the Request takes over the caller's
// references; on failure, a *SyntaxError, they stay with the caller.
func Check(signal Signal, data mem.BufferSlice) (*Request, error) {
	w := walk{cursor: cursor{rest: data}}
	root := msgTracesRequest + message(signal)
	length := data.Len()
	if r := w.frames(length, root, 0); r != ok {
		return nil, &SyntaxError{Signal: signal, Offset: w.faultOffset, Path: joinPath(w.faultPath), Rule: ruleNames[r]}
	}
	return &Request{signal: signal, legacy: w.legacy, buffers: data, items: w.items, bytes: length}, nil
}

// walk is one pass over a request. It has two halves that must agree: slice for messages that lie within one buffer,
// which is nearly all of them, and frames for those that a buffer's border cuts.
type walk struct {
	cursor cursor
	tally
	// Where the walk stopped; the calls add to both while they return.
	faultOffset int
	faultPath   []string // innermost first
}

// frames checks the message of type m between the cursor and the offset end.
func (w *walk) frames(end int, m message, depth int) rule {
	c := &w.cursor
	for c.offset() < end {
		start := c.offset()
		number, t, r := c.tag()
		if r == ok {
			r = w.framesField(end, m, number, t, depth)
		}
		if r == ok && c.offset() > end {
			r = ruleTruncated // a varint may read on beyond its message
		}
		if r != ok {
			w.faultAt(start)
			return r
		}
	}
	return ok
}

// framesField checks one field, whose tag was read.
func (w *walk) framesField(end int, m message, number int32, t wireType, depth int) rule {
	c := &w.cursor
	o := lookUp(m, number, t)
	switch o.kind {
	case kindUnknown, kindVarint, kindFixed64, kindFixed32:
		return c.value(t, end)
	case kindWrongType:
		return ruleWireType
	}
	n, r := c.length(end)
	if r != ok {
		return r
	}
	switch {
	case o.kind == kindMessage:
		return w.framesMessage(n, m, number, o.message, depth+1)
	case o.kind == kindPackedVarint:
		return c.packedVarints(c.offset() + n)
	default:
		if r := o.kind.checkLength(n); r != ok {
			return r
		}
		return c.skip(n)
	}
}

// framesMessage checks the message of n bytes at the cursor, field number of a message of type parent.
func (w *walk) framesMessage(n int, parent message, number int32, m message, depth int) rule {
	c := &w.cursor
	w.enter(m)
	var r rule
	if b := c.available(); n <= len(b) {
		start := c.offset()
		if r = w.slice(b[:n], m, depth); r != ok {
			w.faultOffset += start
		}
		c.pos += n
	} else {
		if depth > maxDepth {
			return ruleDepth
		}
		r = w.frames(c.offset()+n, m, depth)
	}
	if r != ok {
		w.inside(parent, number)
		return r
	}
	w.leave(m)
	return ok
}

// slice checks the message of type m that b is.
func (w *walk) slice(b []byte, m message, depth int) rule {
	if depth > maxDepth {
		return ruleDepth
	}
	table := &ops[m]
	for pos := 0; pos < len(b); {
		start := pos
		tag := b[pos]
		pos++
		o := table[tag]
		if tag >= 0x80 {
			if pos < len(b) && b[pos] == 1 {
				pos++
			} else {
				o = op{kind: kindGeneral}
			}
		}
		switch o.kind {
		case kindVarint:
			for n := 0; ; n++ {
				if n == 10 {
					return w.fault(ruleVarint, start)
				}
				if pos == len(b) {
					return w.fault(ruleTruncated, start)
				}
				pos++
				if b[pos-1] < 0x80 {
					break
				}
			}
			continue
		case kindFixed64:
			pos += 8
			if pos > len(b) {
				return w.fault(ruleTruncated, start)
			}
			continue
		case kindFixed32:
			pos += 4
			if pos > len(b) {
				return w.fault(ruleTruncated, start)
			}
			continue
		case kindUnknown, kindGeneral, kindWrongType:
			next, r := w.general(b, start, m, depth)
			if r != ok {
				return r
			}
			pos = next
			continue
		}
		if pos == len(b) {
			return w.fault(ruleTruncated, start)
		}
		n := int(b[pos])
		pos++
		if n >= 0x80 {
			// Lengths of three bytes and more are rare enough within one buffer to go the general way.
			if pos == len(b) || b[pos] >= 0x80 {
				next, r := w.general(b, start, m, depth)
				if r != ok {
					return r
				}
				pos = next
				continue
			}
			n += int(b[pos])<<7 - 0x80
			pos++
		}
		if n > len(b)-pos {
			return w.fault(ruleTruncated, start)
		}
		if o.kind == kindMessage {
			if traits[o.message] != traitNone {
				w.enter(o.message)
			}
			if r := w.slice(b[pos:pos+n], o.message, depth+1); r != ok {
				w.faultOffset += pos
				w.inside(m, int32(tag>>3))
				return r
			}
			if traits[o.message] != traitNone {
				w.leave(o.message)
			}
		} else if o.kind != kindBytes {
			if r := o.kind.checkBody(b[pos : pos+n]); r != ok {
				return w.fault(r, start)
			}
		}
		pos += n
	}
	return ok
}

// general checks the field of message m at start, whatever it is, and returns where it ends. It lends a cursor to b, so
// that the rare forms are written down once.
func (w *walk) general(b []byte, start int, m message, depth int) (next int, _ rule) {
	outer := w.cursor
	w.cursor = cursor{current: b, pos: start}
	defer func() { w.cursor = outer }()
	number, t, r := w.cursor.tag()
	if r == ok {
		r = w.framesField(len(b), m, number, t, depth)
	}
	if r != ok {
		w.faultAt(start)
	}
	return w.cursor.pos, r
}

// faultAt notes where a field starts that is at fault, unless the fault was found in a message within it: that one's
// offset is never 0, as its own tag and length stand before it.
func (w *walk) faultAt(start int) {
	if w.faultOffset == 0 {
		w.faultOffset = start
	}
}

func (w *walk) fault(r rule, offset int) rule {
	w.faultOffset = offset
	return r
}

// inside notes that the fault lies in field number of a message of type parent.
func (w *walk) inside(parent message, number int32) {
	f, _ := fieldOf(parent, number)
	w.faultPath = append(w.faultPath, f.name)
}

// checkBody checks the contents of a field that is neither plain bytes nor a message.
func (k kind) checkBody(b []byte) rule {
	if k == kindPackedVarint {
		c := cursor{current: b}
		return c.packedVarints(len(b))
	}
	return k.checkLength(len(b))
}

func (k kind) checkLength(n int) rule {
	switch {
	case k == kindTraceID && n != 0 && n != 16:
		return ruleTraceID
	case k == kindSpanID && n != 0 && n != 8:
		return ruleSpanID
	case k == kindPackedFixed64 && n%8 != 0:
		return rulePacked
	}
	return ok
}

// packedVarints skips the varints up to the offset end.
func (c *cursor) packedVarints(end int) rule {
	for c.offset() < end {
		if _, r := c.varint(); r != ok {
			return r
		}
	}
	if c.offset() != end {
		return rulePacked
	}
	return ok
}
