package payload

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// itemPaths are the field numbers that lead from an export request to its items (opentelemetry-proto, trace.proto,
// logs.proto, metrics.proto): resource, scope, record; for metrics also the kind of data and its points.
var itemPaths = map[Signal][][]protowire.Number{
	Traces:  {{1}, {2}, {2}},
	Logs:    {{1}, {2}, {2}},
	Metrics: {{1}, {2}, {2}, {5, 7, 9, 10, 11}, {1}},
}

// Fields of an item that hold its number or follow from it.
const (
	fieldTraceID       = protowire.Number(1)
	fieldSpanID        = protowire.Number(2)
	fieldParentSpanID  = protowire.Number(4)
	fieldLogTime       = protowire.Number(1)
	fieldDataPointTime = protowire.Number(3)
)

// numberField is the item's field that carries its number.
func numberField(signal Signal) protowire.Number {
	switch signal {
	case Traces:
		return fieldSpanID
	case Metrics:
		return fieldDataPointTime
	default:
		return fieldLogTime
	}
}

// walkItems calls item with the borders of every item in an encoded request, in order.
func walkItems(signal Signal, body []byte, item func(start, end int) error) error {
	return descend(body, 0, len(body), itemPaths[signal], item)
}

func descend(body []byte, start, end int, path [][]protowire.Number, item func(start, end int) error) error {
	if len(path) == 0 {
		return item(start, end)
	}
	return fields(body, start, end, func(num protowire.Number, from, to int) error {
		for _, wanted := range path[0] {
			if num == wanted {
				return descend(body, from, to, path[1:], item)
			}
		}
		return nil
	})
}

// fields calls field with the borders of every field's value between start and end. The length of a length-delimited value
// is not part of it.
func fields(body []byte, start, end int, field func(num protowire.Number, from, to int) error) error {
	for pos := start; pos < end; {
		// Nearly every field has a number below 16 and a value shorter than 128 bytes: protowire need not look at it.
		if b := body[pos:end]; len(b) > 1 && b[0]&0x87 == byte(protowire.BytesType) && b[0] >= 1<<3 && b[1] < 0x80 && int(b[1]) <= len(b)-2 {
			from := pos + 2
			pos = from + int(b[1])
			if err := field(protowire.Number(b[0]>>3), from, pos); err != nil {
				return err
			}
			continue
		}
		num, typ, n := protowire.ConsumeTag(body[pos:end])
		if n < 0 {
			return fmt.Errorf("offset %d: %w", pos, protowire.ParseError(n))
		}
		pos += n
		size := protowire.ConsumeFieldValue(num, typ, body[pos:end])
		if size < 0 {
			return fmt.Errorf("offset %d: %w", pos, protowire.ParseError(size))
		}
		from := pos
		if typ == protowire.BytesType {
			_, n := protowire.ConsumeVarint(body[pos:end])
			from += n
		}
		pos += size
		if err := field(num, from, pos); err != nil {
			return err
		}
	}
	return nil
}
