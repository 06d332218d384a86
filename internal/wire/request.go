// Package wire holds OTLP export requests as the bytes they travel in: it checks, counts, joins and splits them.
//
// An export request is one message with one repeated field (ResourceSpans, ResourceMetrics or ResourceLogs), so two encoded
// requests, one after the other, are the merged request. Profiles are not: their indices point into one dictionary per
// request.
//
// Files: schema.go and ops.go say what the messages look like, check.go and cursor.go walk them, split.go and piece.go
// divide them. Only pdata.go and profiles.go know pdata.
package wire

import (
	"google.golang.org/grpc/mem"
)

// Signal is the kind of telemetry a request carries.
type Signal uint8

// The signals. Profiles are carried only: see profiles.go.
const (
	Traces Signal = iota
	Metrics
	Logs
	Profiles
)

// String returns the signal as the Collector's pipelines are named, for example "traces".
func (s Signal) String() string {
	switch s {
	case Traces:
		return "traces"
	case Metrics:
		return "metrics"
	case Logs:
		return "logs"
	case Profiles:
		return "profiles"
	default:
		return "unknown"
	}
}

// Request is a well-formed export request in one or several reference-counted buffers, of each of which it holds one
// reference. A Request belongs to one goroutine at a time; Clone gives another goroutine its own. The buffers' contents
// are never changed.
type Request struct {
	signal    Signal
	irregular bool
	buffers   mem.BufferSlice
	items     int
	bytes     int
	// parts are the original requests in order; nil while there is only one.
	parts []part
}

// part is one original request within a joined one.
type part struct {
	items int
	bytes int
}

// Signal returns the kind of telemetry.
func (r *Request) Signal() Signal { return r.signal }

// Items returns the number of spans, metric data points or log records.
func (r *Request) Items() int { return r.items }

// Bytes returns the encoded size.
func (r *Request) Bytes() int { return r.bytes }

// Parts returns the number of requests joined into this one.
func (r *Request) Parts() int { return max(len(r.parts), 1) }

// Irregular reports whether pdata reads the request in a way that other receivers may not: items stand in the field that OTLP 0.15
// and older used for scopes, or there is a group, or a tag, a length or another varint with more bits or bytes than Protobuf allows. Joined with
// others unchanged it could spoil them, as a group that is not ended reaches into the next request: who forwards it should decode and
// encode it once.
func (r *Request) Irregular() bool { return r.irregular }

// Buffers returns the request's bytes, borrowed: valid until Free, and taking no reference.
func (r *Request) Buffers() mem.BufferSlice { return r.buffers }

// AppendTo appends the request's bytes to dst.
func (r *Request) AppendTo(dst []byte) []byte {
	for _, b := range r.buffers {
		dst = append(dst, b.ReadOnlyData()...)
	}
	return dst
}

// Clone returns a second handle with references of its own.
func (r *Request) Clone() *Request {
	c := *r
	c.buffers = append(mem.BufferSlice(nil), r.buffers...)
	c.buffers.Ref()
	c.parts = append([]part(nil), r.parts...)
	return &c
}

// Free gives back this handle's references. Further calls do nothing; the request is empty afterwards.
func (r *Request) Free() {
	r.buffers.Free()
	r.reset()
}

// reset empties the handle without touching references, which others have taken over.
func (r *Request) reset() {
	*r = Request{signal: r.signal}
}

// Append makes r the request of both, in order, and takes over other's references; other is empty afterwards. Both
// must carry the same signal, and not profiles.
func (r *Request) Append(other *Request) {
	if r.signal != other.signal || r.signal == Profiles {
		panic("wire: " + other.signal.String() + " appended to " + r.signal.String())
	}
	r.parts = append(r.ownParts(), other.ownParts()...)
	r.buffers = append(r.buffers, other.buffers...)
	r.items += other.items
	r.bytes += other.bytes
	r.irregular = r.irregular || other.irregular
	other.reset()
}

// ownParts returns the parts, or the whole as the only one.
func (r *Request) ownParts() []part {
	if r.parts == nil {
		return []part{{items: r.items, bytes: r.bytes}}
	}
	return r.parts
}
