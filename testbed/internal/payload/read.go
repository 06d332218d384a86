package payload

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"
)

// Item is what arrived of one item.
type Item struct {
	// Number is Unknown where nothing was ever sent like it.
	Number uint64
	// Checksum is taken over the item with its resource and scope, without what follows from its number.
	Checksum uint64
	// TraceKept is false where a span's trace or parent is not the one that it was sent with.
	TraceKept bool
}

// Numbers calls number for every item of an encoded request. It reads no more of the bytes than it must: this is what
// measurements use.
func (s *Set) Numbers(body []byte, number func(uint64)) error {
	wanted := numberField(s.signal)
	return walkItems(s.signal, body, func(start, end int) error {
		n := Unknown
		err := fields(body, start, end, func(num protowire.Number, from, to int) error {
			switch {
			case num != wanted:
			case s.signal == Traces:
				n = numberOfSpan(body[from:to])
			case to-from == 8:
				n = numberOfTime(binary.LittleEndian.Uint64(body[from:]))
			}
			return nil
		})
		if err == nil {
			number(n)
		}
		return err
	})
}

// Items decodes a request and calls item for each: this is what correctness needs, at some microseconds an item.
func (s *Set) Items(body []byte, item func(Item)) error {
	return eachItem(s.signal, body, s.itemsPerRequest, item)
}

func eachItem(signal Signal, body []byte, perRequest int, item func(Item)) error {
	switch signal {
	case Traces:
		return eachSpan(body, perRequest, item)
	case Metrics:
		return eachPoint(body, item)
	default:
		return eachRecord(body, item)
	}
}

// eachSpan checks the trace context unless perRequest is 0, as in a template, whose identities are placeholders.
func eachSpan(body []byte, perRequest int, item func(Item)) error {
	td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(body)
	if err != nil {
		return err
	}
	marshaler := new(ptrace.ProtoMarshaler)
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			single := ptrace.NewTraces()
			srs := single.ResourceSpans().AppendEmpty()
			rs.Resource().CopyTo(srs.Resource())
			srs.SetSchemaUrl(rs.SchemaUrl())
			sss := srs.ScopeSpans().AppendEmpty()
			ss.Scope().CopyTo(sss.Scope())
			sss.SetSchemaUrl(ss.SchemaUrl())
			slot := sss.Spans().AppendEmpty()
			for _, span := range ss.Spans().All() {
				id := span.SpanID()
				arrived := Item{Number: numberOfSpan(id[:]), TraceKept: true}
				if perRequest > 0 {
					traceID, parent := traceContext(arrived.Number, perRequest)
					arrived.TraceKept = span.TraceID() == traceID && span.ParentSpanID() == parent
				}
				span.CopyTo(slot)
				slot.SetSpanID(pcommon.SpanID{})
				slot.SetTraceID(pcommon.TraceID{})
				slot.SetParentSpanID(pcommon.SpanID{})
				encoded, err := marshaler.MarshalTraces(single)
				if err != nil {
					return err
				}
				arrived.Checksum = xxhash.Sum64(encoded)
				item(arrived)
			}
		}
	}
	return nil
}

func eachRecord(body []byte, item func(Item)) error {
	ld, err := new(plog.ProtoUnmarshaler).UnmarshalLogs(body)
	if err != nil {
		return err
	}
	marshaler := new(plog.ProtoMarshaler)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			single := plog.NewLogs()
			srl := single.ResourceLogs().AppendEmpty()
			rl.Resource().CopyTo(srl.Resource())
			srl.SetSchemaUrl(rl.SchemaUrl())
			ssl := srl.ScopeLogs().AppendEmpty()
			sl.Scope().CopyTo(ssl.Scope())
			ssl.SetSchemaUrl(sl.SchemaUrl())
			slot := ssl.LogRecords().AppendEmpty()
			for _, record := range sl.LogRecords().All() {
				record.CopyTo(slot)
				slot.SetTimestamp(0)
				encoded, err := marshaler.MarshalLogs(single)
				if err != nil {
					return err
				}
				item(Item{Number: numberOfTime(uint64(record.Timestamp())), Checksum: xxhash.Sum64(encoded), TraceKept: true})
			}
		}
	}
	return nil
}

func eachPoint(body []byte, item func(Item)) error {
	md, err := new(pmetric.ProtoUnmarshaler).UnmarshalMetrics(body)
	if err != nil {
		return err
	}
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			single := pmetric.NewMetrics()
			srm := single.ResourceMetrics().AppendEmpty()
			rm.Resource().CopyTo(srm.Resource())
			srm.SetSchemaUrl(rm.SchemaUrl())
			ssm := srm.ScopeMetrics().AppendEmpty()
			sm.Scope().CopyTo(ssm.Scope())
			ssm.SetSchemaUrl(sm.SchemaUrl())
			slot := ssm.Metrics().AppendEmpty()
			for _, metric := range sm.Metrics().All() {
				if err := eachPointOf(metric, slot, single, item); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
