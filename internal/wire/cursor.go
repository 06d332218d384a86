package wire

import (
	"math"

	"google.golang.org/grpc/mem"
)

// cursor reads forward over buffers as if they were one. It is the slow path: fields within one buffer are read from
// the slice itself.
type cursor struct {
	current []byte
	pos     int // in current
	base    int // offset of current in the whole
	rest    mem.BufferSlice
	lenient bool // something was read that pdata takes and other parsers may not
}

func (c *cursor) offset() int { return c.base + c.pos }

// available returns the unread bytes of the current buffer, going on to the next one at its end.
func (c *cursor) available() []byte {
	for c.pos == len(c.current) && len(c.rest) > 0 {
		c.base += len(c.current)
		c.current, c.pos = c.rest[0].ReadOnlyData(), 0
		c.rest = c.rest[1:]
	}
	return c.current[c.pos:]
}

// skip goes n bytes ahead.
func (c *cursor) skip(n int) rule {
	for n > 0 {
		have := len(c.available())
		if have == 0 {
			return ruleTruncated
		}
		step := min(n, have)
		c.pos += step
		n -= step
	}
	return ok
}

// varint reads a varint. As in pdata, bits beyond the 64th are dropped.
func (c *cursor) varint() (uint64, rule) {
	var value uint64
	for shift := 0; shift < 64; shift += 7 {
		b := c.available()
		if len(b) == 0 {
			return 0, ruleTruncated
		}
		c.pos++
		value |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if shift == 63 && b[0] > 1 {
				c.lenient = true
			}
			return value, ok
		}
	}
	return 0, ruleVarint
}

// varint32 reads a tag or a length, for which other parsers allow 32 bits in at most five bytes.
func (c *cursor) varint32() (uint64, rule) {
	if c.pos < len(c.current) && c.current[c.pos] < 0x80 {
		c.pos++
		return uint64(c.current[c.pos-1]), ok
	}
	start := c.offset()
	value, r := c.varint()
	if value > math.MaxUint32 || c.offset()-start > 5 {
		c.lenient = true
	}
	return value, r
}

// tag reads a tag. The field number is cut to 32 bits before it is judged, as in pdata.
func (c *cursor) tag() (number int32, t wireType, _ rule) {
	tag, r := c.varint32()
	if r != ok {
		return 0, 0, r
	}
	number = int32(tag >> 3)
	if number <= 0 {
		return 0, 0, ruleTag
	}
	return number, wireType(tag & 7), ok
}

// length reads the length of a field that must end by the offset end.
func (c *cursor) length(end int) (int, rule) {
	n, r := c.varint32()
	if r != ok {
		return 0, r
	}
	if left := end - c.offset(); left < 0 || n > uint64(left) {
		return 0, ruleTruncated
	}
	return int(n), ok
}

// value skips the value of a field that ends by the offset end, whatever it holds. It follows pdata to the letter, also
// where pdata departs from protobuf: a group ends with its first scalar.
func (c *cursor) value(t wireType, end int) rule {
	depth := 0
	for c.offset() < end {
		switch t {
		case typeVarint:
			_, r := c.varint()
			return r
		case typeFixed64:
			return c.skip(8)
		case typeFixed32:
			return c.skip(4)
		case typeLen:
			n, r := c.length(end)
			if r != ok {
				return r
			}
			return c.skip(n)
		case typeStartGroup:
			c.lenient = true
			depth++
		case typeEndGroup:
			if depth == 0 {
				return ruleEndGroup
			}
			depth--
		default:
			return ruleIllegalType
		}
		if depth == 0 {
			return ok
		}
		var r rule
		if _, t, r = c.tag(); r != ok {
			return r
		}
	}
	return ruleTruncated
}
