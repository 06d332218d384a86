package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// num, fix64, fix32 and msg write one field each; msg takes the fields of a message or the contents of bytes.
func num(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func fix64(field int, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.AppendUvarint(nil, uint64(field)<<3|1), v)
}

func fix32(field int, v uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(nil, uint64(field)<<3|5), v)
}

func msg(field int, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(body))), body...)
}

func str(field int, s string) []byte { return msg(field, []byte(s)) }

func raw(b ...byte) []byte { return b }

var (
	attribute = msg(1, str(1, "k"), msg(2, str(1, "v")))
	resource  = msg(1, attribute)
	scope     = msg(1, str(1, "scope"))
	item      = msg(2, msg(9, str(1, "k"), msg(2, num(3, 7)))) // a span with an attribute, or a log record with a trace ID field
	spanItem  = msg(2, str(5, "name"), fix32(16, 0x100), fix64(7, 1))
	gauge     = msg(5, msg(1, fix64(4, 1)), msg(1, fix64(6, 2)))
	// Ten bytes, of which the last would be the bits 64 to 69.
	overflowing = raw(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f)
	sum         = msg(7, num(2, 2), msg(1, fix64(4, 1)), num(3, 1), msg(1, fix64(6, 2)))
)

// handmade are the shapes that encoders may write and pdata's does not, and what hostile peers may send.
var handmade = append([]shape{
	{"empty", nil},
	{"empty resource", msg(1)},
	{"empty scope", msg(1, msg(2))},
	{"resource after its scopes", msg(1, msg(2, spanItem, scope), resource)},
	{"resource in two halves", msg(1, resource, msg(2, spanItem), resource)},
	{"one resource per item", slices.Concat(msg(1, resource, msg(2, scope, spanItem)), msg(1, resource, msg(2, scope, spanItem)))},
	{"scope between items", msg(1, resource, msg(2, spanItem, scope, spanItem, str(3, "url")))},
	{"unknown fields everywhere", slices.Concat(num(9, 1), msg(1, fix64(99, 1), resource, msg(2, fix32(2000, 1), scope, str(77, "x"), msg(2, str(500, "y"))), num(31, 5)), str(1<<28, "z"))},
	{"deprecated scopes", msg(1, resource, msg(1000, scope, spanItem))},
	{"deprecated scopes beside others", msg(1, resource, msg(1000, scope, spanItem), msg(2, scope, spanItem, spanItem))},
	{"deprecated scopes beside an empty one", msg(1, msg(2), msg(1000, scope, spanItem))},
	{"attributes", msg(1, resource, msg(2, scope, item))},
	{"a gauge and a sum", msg(1, resource, msg(2, scope, msg(2, str(1, "m"), gauge, str(3, "By")), msg(2, sum, str(1, "s"))))},
	{"several data fields in a metric", msg(1, msg(2, msg(2, sum, gauge, str(1, "m"), msg(5, msg(1, fix64(4, 9))))))},
	{"data without points", msg(1, msg(2, msg(2, gauge, msg(7)), msg(2, str(1, "none"))))},
	{"histograms", msg(1, msg(2,
		msg(2, msg(9, num(2, 1), msg(1, msg(6, make([]byte, 16)), msg(7, make([]byte, 8)), fix64(6, 1), fix64(4, 3)))),
		msg(2, msg(10, msg(1, msg(8, num(1, 4), msg(2, raw(1, 0x80, 1, 3)), num(2, 7)), msg(9)))),
		msg(2, msg(11, msg(1, msg(6, fix64(1, 1), fix64(2, 2)))))))},
	{"packed values cut short", msg(1, msg(2, msg(2, msg(9, msg(1, msg(6, make([]byte, 15)))))))},
	{"packed varints cut short", msg(1, msg(2, msg(2, msg(10, msg(1, msg(8, msg(2, raw(1, 0x80))))))))},
	{"IDs of a wrong length", msg(1, msg(2, msg(2, msg(1, make([]byte, 15)))))},
	{"IDs of the right lengths", msg(1, msg(2, msg(2, msg(1, make([]byte, 16)), msg(2, make([]byte, 8)), msg(4))))},
	{"nested values", msg(1, msg(1, msg(1, msg(2, msg(5, msg(1, msg(6, msg(1, str(1, "k"), msg(2, msg(5, msg(1, num(2, 1))))))))))))},
	{"wrong wire type", num(1, 1)},
	{"wrong wire type inside", msg(1, msg(2, msg(2, num(5, 1))))},
	{"truncated length", raw(0x0a)},
	{"truncated body", raw(0x0a, 5, 1)},
	{"truncated varint", msg(1, msg(2, msg(2, raw(0x30, 0x80))))},
	{"inner length beyond its message", slices.Concat(raw(0x0a, 2, 0x12, 9), make([]byte, 9))},
	{"negative length", append(raw(0x0a), binary.AppendUvarint(nil, 1<<63)...)},
	{"overflowing length", append(raw(0x0a), binary.AppendUvarint(nil, 1<<63-1)...)},
	{"a varint of eleven bytes", raw(0x48, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1)},
	{"a varint of ten bytes that overflows", raw(0x48, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f)},
	{"a varint of ten bytes", msg(1, msg(2, msg(2, num(10, 1<<64-1))))},
	{"a known varint that overflows", msg(1, msg(2, msg(2, append(raw(0x50), overflowing...))))},
	{"an attribute that overflows", msg(1, resource, msg(1, msg(1, str(1, "k"), msg(2, append(raw(0x18), overflowing...)))))},
	{"packed varints that overflow", msg(1, msg(2, msg(2, msg(10, msg(1, msg(8, msg(2, overflowing)))))))},
	{"a tag of five bytes", raw(0x8a, 0x80, 0x80, 0x80, 0x00, 0)},
	{"a tag of six bytes", raw(0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 0)},
	{"a length of six bytes", raw(0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00)},
	{"the largest field number", str(1<<29-1, "z")},
	{"a field number beyond the largest", str(1<<29, "z")},
	{"a group not ended in a span", msg(1, msg(2, msg(2, raw(0x4b+0x50, 1), num(1, 1))))},
	{"field number zero", raw(0x02, 0)},
	{"a field number whose lower 32 bits are 1", append(binary.AppendUvarint(nil, 1<<35|0x0a), 0)},
	{"a known tag in more bytes than needed", raw(0x8a, 0x00, 0)},
	{"negative field number", append(binary.AppendUvarint(nil, 1<<34|0x0a), 0)},
	{"illegal wire types", raw(0x4e, 0)},
	{"an empty group at the end", raw(0x4b, 0x4c)},
	{"an empty group", slices.Concat(raw(0x4b, 0x4c), msg(1))},
	{"a group around a scalar", slices.Concat(raw(0x4b), num(1, 1), raw(0x4c), msg(1))},
	{"a group not ended", slices.Concat(raw(0x4b), num(1, 1), msg(1))},
	{"nested groups", slices.Concat(raw(0x4b, 0x53, 0x54, 0x4c), msg(1))},
	{"an end without a group", raw(0x4c, 0x0a, 0)},
}, mistypedAttributes()...)

type shape struct {
	name string
	data []byte
}

// mistypedAttributes are requests with an attribute that is well-formed but for its wire type, in each place where one may stand.
func mistypedAttributes() (list []shape) {
	in := func(path ...int) func([]byte) []byte {
		return func(field []byte) []byte {
			for _, number := range slices.Backward(path) {
				field = msg(number, field)
			}
			return field
		}
	}
	for _, place := range []struct {
		name   string
		number int
		within func([]byte) []byte
	}{
		{"resource", 1, in(1, 1)},
		{"scope", 3, in(1, 2, 1)},
		{"span", 9, in(1, 2, 2)},
		{"event", 3, in(1, 2, 2, 11)},
		{"link", 4, in(1, 2, 2, 13)},
		{"log record", 6, in(1, 2, 2)},
		{"metric", 12, in(1, 2, 2)},
		{"gauge's point", 7, in(1, 2, 2, 5, 1)},
		{"histogram's point", 9, in(1, 2, 2, 9, 1)},
		{"exponential histogram's point", 1, in(1, 2, 2, 10, 1)},
		{"exemplar", 7, in(1, 2, 2, 5, 1, 5)},
		{"key-value list", 1, in(1, 2, 2, 9, 2, 6)},
	} {
		for t := range wireType(8) {
			if t != typeLen {
				field := msg(place.number, str(1, "k"), msg(2, str(1, "abc")))
				field[0] = field[0]&^7 | byte(t)
				list = append(list, shape{fmt.Sprintf("an attribute of a %s with wire type %d", place.name, t), place.within(field)})
			}
		}
	}
	return list
}
