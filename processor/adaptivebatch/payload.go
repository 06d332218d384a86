package adaptivebatch

import "context"

// payload is telemetry of one signal that is carried, not looked into: decoded (payload_decoded.go) or still as bytes
// (payload_encoded.go). It belongs to one goroutine at a time.
type payload interface {
	// items returns the number of spans, metric data points, log records or profile samples.
	items() int
	// bytes returns the encoded size, uncompressed.
	bytes() int
	// split divides the payload into payloads within the limits, 0 meaning none, and consumes it. An item that is alone too
	// large becomes a payload of its own, and what has a larger resource or scope than items is not divided: all payloads together
	// have about twice the bytes at most.
	split(maxItems, maxBytes int) ([]payload, error)
	// join makes one content of the payloads of a batch, this one being the first. They are of one kind, and belong to the
	// content from then on.
	join(all []payload) content
	// free gives up a payload that was not joined.
	free()
}

// content is a batch ready to be sent, that still knows its parts.
type content interface {
	// send hands the parts [from, to) to the next consumer. It can be called again, for other parts or the same.
	send(ctx context.Context, from, to int) error
	// divide returns a copy of part i in pieces of at most maxItems items, as far as split divides it.
	divide(i, maxItems int) ([]payload, error)
	// free gives up the content; it is not used afterwards.
	free()
}
