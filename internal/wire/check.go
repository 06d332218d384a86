package wire

import (
	"encoding/binary"

	"google.golang.org/grpc/mem"
)

// maxDepth is how deep messages may be nested. google.golang.org/protobuf has the same bound. pdata has none and recurses;
// here a request that nests deeper is refused, so that no peer can make the stack grow without bound.
const maxDepth = 10000

// Check walks over an encoded export request, without joining its buffers and without allocating, and accepts what
// pdata's Unmarshal accepts (but see maxDepth), in any order of fields. On success the Request takes over the caller's
// references; on failure, a *SyntaxError but for profiles, they stay with the caller.
func Check(signal Signal, data mem.BufferSlice) (*Request, error) {
	if signal == Profiles {
		return checkProfiles(data)
	}
	w := walk{cursor: cursor{rest: data}}
	root := msgTracesRequest + message(signal)
	length := data.Len()
	if r := w.frames(length, root, 0); r != ok {
		return nil, &SyntaxError{Signal: signal, Offset: w.faultOffset, Path: joinPath(w.faultPath), Rule: ruleNames[r]}
	}
	return &Request{signal: signal, irregular: w.legacy || w.cursor.lenient, buffers: data, items: w.items, bytes: length}, nil
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

// inlineDepth is how many levels slice keeps without calling itself: attributes of a span's event are at the fifth.
const inlineDepth = 16

// level is a message around the one being walked.
type level struct {
	end     int // in the slice
	message message
	tag     uint8 // the first byte of the inner message's tag
	hooked  bool  // the inner message counts in the tally
}

// slice checks the message of type m that b is. This is where the time goes, so it is one loop that keeps the messages
// around the current one in an array; it is long for that reason.
func (w *walk) slice(b []byte, m message, depth int) rule {
	if depth > maxDepth {
		return ruleDepth
	}
	var (
		outer [inlineDepth]level
		n     int // levels in outer
		r     rule
		start int
	)
	table := &ops[m]
	pos, end := 0, len(b)
	for {
		for pos == end {
			if n == 0 {
				return ok
			}
			n--
			if outer[n].hooked {
				w.leave(m)
			}
			m, end = outer[n].message, outer[n].end
			table = &ops[m]
		}
		start = pos
		tag := b[pos]
		pos++
		o := table[tag]
		if tag >= 0x80 {
			if pos < end && b[pos] == 1 {
				pos++
			} else {
				o = op{kind: kindGeneral}
			}
		}
		if o.message == msgKeyValue && tag < 0x80 {
			if next := plainAttributes(b[:end], start, tag); next > start {
				pos = next
				continue
			}
		}
		if o.kind < kindBytes {
			switch o.kind {
			case kindVarint:
				if pos, r = skipVarint(b[:end], pos); r == ruleVarint {
					pos, r = w.general(b[:end], start, m, depth+n)
				}
			case kindFixed64:
				pos += 8
			case kindFixed32:
				pos += 4
			default:
				pos, r = w.general(b[:end], start, m, depth+n)
			}
			if r == ok && pos > end {
				r = ruleTruncated
			}
			if r != ok {
				break
			}
			continue
		}
		if pos == end {
			r = ruleTruncated
			break
		}
		length := int(b[pos])
		pos++
		if length >= 0x80 {
			// Lengths of three bytes and more are rare within one buffer.
			if pos == end || b[pos] >= 0x80 {
				if pos, r = w.general(b[:end], start, m, depth+n); r != ok {
					break
				}
				continue
			}
			length += int(b[pos])<<7 - 0x80
			pos++
		}
		if length > end-pos {
			r = ruleTruncated
			break
		}
		switch {
		case o.kind == kindBytes:
			pos += length
		case o.kind == kindMessage:
			if n == inlineDepth {
				if r = w.slice(b[pos:pos+length], o.message, depth+n+1); r != ok {
					w.faultOffset += pos
					w.inside(m, int32(tag>>3))
					break
				}
				pos += length
				continue
			}
			hooked := traits[o.message] != traitNone
			if hooked {
				w.enter(o.message)
			}
			outer[n] = level{end: end, message: m, tag: tag, hooked: hooked}
			n++
			m, end = o.message, pos+length
			table = &ops[m]
		default:
			if r = w.checkBody(o.kind, b[pos:pos+length]); r == ok {
				pos += length
			}
		}
		if r != ok {
			break
		}
	}
	w.faultAt(start)
	for n--; n >= 0; n-- {
		w.inside(outer[n].message, int32(outer[n].tag>>3))
	}
	return r
}

// What stands in front of an attribute's parts when they are short: tag and length, low byte first.
const (
	tagAndLength = 0x80ff // a tag of one byte and a length below 128, which is one byte too
	keyField     = 1<<3 | uint32(typeLen)
	valueField   = 2<<3 | uint32(typeLen)
	stringValue  = 1<<3 | uint32(typeLen)
	boolValue    = 2<<3 | byte(typeVarint)
	intValue     = 3<<3 | byte(typeVarint)
	doubleValue  = 4<<3 | byte(typeFixed64)
)

// plainAttributes returns where a run of plain attributes ends that begins at pos: each a field with the given tag that is, to the byte,
// a key and a string, boolean, integer or double, in either order and below 128 bytes. Most bytes of telemetry stand in such
// attributes: comparing tags and lengths four bytes at a time instead of walking through two messages makes the check faster by
// half. Anything else is left to the walk, so this may only stop too early.
func plainAttributes(b []byte, pos int, tag byte) int {
	keyFirst := uint32(tag) | keyField<<16
	valueFirst := uint32(tag) | valueField<<16
	for pos+8 <= len(b) { // the shortest has an empty key and an empty string
		head := binary.LittleEndian.Uint32(b[pos:])
		next := pos + 2 + int(head>>8&0xff)
		first := int(head >> 24) // the length of what comes first
		middle := pos + 4 + first
		if next > len(b) || middle+2 > next {
			return pos
		}
		var value []byte
		switch head & (tagAndLength<<16 | tagAndLength) {
		case keyFirst:
			value = b[middle+2 : next]
			if v := binary.LittleEndian.Uint16(b[middle:]); uint32(v)&tagAndLength != valueField || int(v>>8) != len(value) {
				return pos
			}
		case valueFirst:
			value = b[pos+4 : middle]
			if k := binary.LittleEndian.Uint16(b[middle:]); uint32(k)&tagAndLength != keyField || middle+2+int(k>>8) != next {
				return pos
			}
		default:
			return pos
		}
		if len(value) < 2 || (uint32(value[0]) != stringValue || int(value[1]) != len(value)-2) && !plainScalar(value) {
			return pos
		}
		pos = next
	}
	return pos
}

// plainScalar reports whether b, of two bytes at least, is the value of an attribute that is a boolean, an integer or a double.
func plainScalar(b []byte) bool {
	switch b[0] {
	case boolValue, intValue:
		end, r := skipVarint(b, 1)
		return r == ok && end == len(b)
	case doubleValue:
		return len(b) == 9
	}
	return false
}

// skipVarint returns where the varint at pos ends. One of ten bytes, as negative numbers are, is left to the cursor: it may have more than 64
// bits, and looking here would make all others dearer.
func skipVarint(b []byte, pos int) (int, rule) {
	for i, c := range b[pos:] {
		if c < 0x80 {
			return pos + i + 1, ok
		}
		if i == 8 {
			return pos, ruleVarint
		}
	}
	return pos, ruleTruncated
}

// general checks the field of message m at start, whatever it is, and returns where it ends. It lends a cursor to b, so
// that the rare forms are written down once.
func (w *walk) general(b []byte, start int, m message, depth int) (next int, _ rule) {
	outer := w.cursor
	w.cursor = cursor{current: b, pos: start}
	defer func() {
		outer.lenient = outer.lenient || w.cursor.lenient
		w.cursor = outer
	}()
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

// inside notes that the fault lies in field number of a message of type parent.
func (w *walk) inside(parent message, number int32) {
	f, _ := fieldOf(parent, number)
	w.faultPath = append(w.faultPath, f.name)
}

// checkBody checks the contents of a field that is neither plain bytes nor a message.
func (w *walk) checkBody(k kind, b []byte) rule {
	if k == kindPackedVarint {
		c := cursor{current: b}
		r := c.packedVarints(len(b))
		w.cursor.lenient = w.cursor.lenient || c.lenient
		return r
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
