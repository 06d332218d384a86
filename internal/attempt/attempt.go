// Package attempt carries, through a context, what each try to send a batch cost.
//
// A batcher that adapts needs to know how the backend answers. Between it and the wire stand queues and retries, so the
// error and the duration of its own call say little. The batcher therefore puts an Observer into the context of the call
// (NewContext), and an exporter that knows better reports every single try to it (Report). An exporter that does not know
// this package changes nothing: the batcher then sees its own calls only.
//
// The presence of an Observer also tells an exporter that its caller is a bounded queue which waits for the answer: see
// Observed.
package attempt

import (
	"context"
	"time"
)

// Outcome says what a try to send tells about the backend, in the terms a controller acts on.
type Outcome uint8

// The outcomes. Their gRPC and HTTP codes are those of the OTLP specification,
// https://opentelemetry.io/docs/specs/otlp/#failures.
const (
	// Accepted: the backend took the request (a partial success included).
	Accepted Outcome = iota
	// Overloaded: the backend asks for less (RESOURCE_EXHAUSTED, 429, or UNAVAILABLE and 503 with a throttle hint).
	Overloaded
	// Unavailable: nobody answered, or a proxy answered for a backend that is gone (UNAVAILABLE, 502, 503, 504).
	Unavailable
	// DeadlineExceeded: the answer did not come within the time-out of the try.
	DeadlineExceeded
	// TooLarge: the request exceeds what the backend takes (413, or a message size limit of gRPC).
	TooLarge
	// Rejected: the backend refuses the content; sending it again is of no use (INVALID_ARGUMENT, 400).
	Rejected
	// Failed: any other error, faults of our own hop included (UNAUTHENTICATED, a closed connection pool).
	Failed
	// Canceled: the caller gave up; the try says nothing about the backend.
	Canceled
)

var outcomeNames = [...]string{
	"accepted", "overloaded", "unavailable", "deadline_exceeded", "too_large", "rejected", "failed", "canceled",
}

// String returns the outcome as an attribute value, for example "deadline_exceeded".
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}

// Attempt is one try to send one request.
type Attempt struct {
	// Items is the number of spans, metric data points or log records in the request.
	Items int
	// Bytes is the size of the request's payload as sent, after compression.
	Bytes int
	// Latency is the time from handing the request to the transport until its answer. It excludes time in queues and
	// back-off between tries.
	Latency time.Duration
	// Outcome is how the try ended.
	Outcome Outcome
	// RetryAfter is for how long an overloaded backend asks to be left in peace; 0 where it does not say.
	RetryAfter time.Duration
}

// Observer receives attempts. It is called on the sending goroutine, from several at once, and possibly after the call
// whose context carried it has returned; it must not block.
type Observer func(Attempt)

type contextKey struct{}

// NewContext returns a copy of ctx that carries the observer to every exporter behind it.
func NewContext(ctx context.Context, observer Observer) context.Context {
	return context.WithValue(ctx, contextKey{}, observer)
}

// Observed reports whether the caller is a batcher that listens to attempts. Such a caller is a bounded queue itself and
// hands the result on to its own callers, so an exporter need not, and should not, put a second queue in memory behind it.
func Observed(ctx context.Context) bool {
	return ctx.Value(contextKey{}) != nil
}

// Report hands one attempt to the observer in ctx. Without one it does nothing.
func Report(ctx context.Context, a Attempt) {
	if observer, ok := ctx.Value(contextKey{}).(Observer); ok {
		observer(a)
	}
}
