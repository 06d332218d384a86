package pooledotlp

// Everything that touches xexporterhelper stands in this file: the package is experimental and may change between
// Collector versions.

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// request is a wire.Request with a reference count, because the exporter helper's queue and its batcher hold the same
// request for different times. Whoever makes one holds the first reference.
type request struct {
	wire *wire.Request
	refs atomic.Int32
	// attempts counts the tries to send it. Tries of one request follow one another.
	attempts int
	buffers  mem.BufferPool
}

var _ xexporterhelper.Request = (*request)(nil)

func newRequest(w *wire.Request, buffers mem.BufferPool) *request {
	r := &request{wire: w, buffers: buffers}
	r.refs.Store(1)
	return r
}

func (r *request) release() {
	if r.refs.Add(-1) == 0 {
		r.wire.Free()
	}
}

// ItemsCount returns the number of spans, data points, log records or samples.
func (r *request) ItemsCount() int { return r.wire.Items() }

// BytesSize returns the encoded size.
func (r *request) BytesSize() int { return r.wire.Bytes() }

// MergeSplit appends other, when there is one, and splits the result to the maximum size; 0 is no maximum.
//
// The helper calls it in two ways. Without other, the receiver belongs to the queue, which releases it when its consumer
// returns, while the results live on in the batch: they take references of their own. With other, the receiver is an
// earlier result, and the batch's alone: it is used up, and other is the queue's. Either way the caller owns the results.
func (r *request) MergeSplit(_ context.Context, maxSize int, sizer exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	var maxItems, maxBytes int
	switch sizer {
	case exporterhelper.RequestSizerTypeItems:
		maxItems = maxSize
	case exporterhelper.RequestSizerTypeBytes:
		maxBytes = maxSize
	default:
		return nil, fmt.Errorf("cannot split by %q", sizer.String())
	}
	batch := r
	if other == nil {
		batch = newRequest(r.wire.Clone(), r.buffers)
	} else {
		o, ok := other.(*request)
		if !ok {
			return nil, fmt.Errorf("cannot merge a %T", other)
		}
		if err := r.merge(o); err != nil {
			// Profiles with a reference to nothing can be sent, but not be joined to others.
			return []xexporterhelper.Request{r, newRequest(o.wire.Clone(), r.buffers)}, nil //nolint:nilerr // see above
		}
	}
	if (maxItems == 0 || batch.ItemsCount() <= maxItems) && (maxBytes == 0 || batch.BytesSize() <= maxBytes) {
		return []xexporterhelper.Request{batch}, nil
	}
	parts, err := split(batch.wire, maxItems, maxBytes, r.buffers)
	if err != nil {
		// A request is checked before it comes here, so it can be divided. If not, a batch too large is better than a lost one.
		return []xexporterhelper.Request{batch}, nil //nolint:nilerr // see above
	}
	results := make([]xexporterhelper.Request, len(parts))
	for i, part := range parts {
		results[i] = newRequest(part, r.buffers)
	}
	return results, nil
}

// merge appends other, which stays as it is. On error so does the receiver.
func (r *request) merge(other *request) error {
	if r.wire.Signal() != wire.Profiles {
		r.wire.Append(other.wire.Clone())
		return nil
	}
	joined, err := joinProfiles(r.wire, other.wire, r.buffers)
	if err != nil {
		return err
	}
	r.wire.Free()
	r.wire = joined
	return nil
}

// referenceCounter lets the queue hold requests.
type referenceCounter struct{}

func (referenceCounter) Ref(r xexporterhelper.Request)   { r.(*request).refs.Add(1) }
func (referenceCounter) Unref(r xexporterhelper.Request) { r.(*request).release() }

// chain is one row of the exporter helper's senders, for any signal.
type chain struct {
	component.Component
	consume func(context.Context) error
}

// requestKey carries a request through the helper's converter, which turns pdata into requests: here the request exists
// already, and the pdata is empty.
type requestKey struct{}

// send hands a request to the chain. The caller keeps its reference.
func (c chain) send(ctx context.Context, r *request) error {
	return c.consume(context.WithValue(ctx, requestKey{}, r))
}

// endedByShutdown reports whether the helper's retries ended with the Collector, and not by themselves: the error by which its queue
// on disk keeps a request. The helper exports neither the error nor a way to ask for it.
func endedByShutdown(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if fmt.Sprintf("%T", err) == "experr.shutdownErr" {
			return true
		}
	}
	return false
}

func requestFrom(ctx context.Context) (xexporterhelper.Request, error) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r, nil
	}
	return nil, errors.New("no request in the context")
}

// Nobody writes to these.
var (
	noTraces   = ptrace.NewTraces()
	noMetrics  = pmetric.NewMetrics()
	noLogs     = plog.NewLogs()
	noProfiles = pprofile.NewProfiles()
)

// newChain makes a chain that ends in push.
func newChain(signal wire.Signal, set exporter.Settings, push func(context.Context, *request) error, options ...exporterhelper.Option) (chain, error) {
	ctx := context.Background() // the helper does not use it
	pusher := func(ctx context.Context, r xexporterhelper.Request) error { return push(ctx, r.(*request)) }
	switch signal {
	case wire.Traces:
		e, err := xexporterhelper.NewTracesRequest(ctx, set,
			func(ctx context.Context, _ ptrace.Traces) (xexporterhelper.Request, error) { return requestFrom(ctx) }, pusher, options...)
		return chain{e, func(ctx context.Context) error { return e.ConsumeTraces(ctx, noTraces) }}, err
	case wire.Metrics:
		e, err := xexporterhelper.NewMetricsRequest(ctx, set,
			func(ctx context.Context, _ pmetric.Metrics) (xexporterhelper.Request, error) { return requestFrom(ctx) }, pusher, options...)
		return chain{e, func(ctx context.Context) error { return e.ConsumeMetrics(ctx, noMetrics) }}, err
	case wire.Profiles:
		e, err := xexporterhelper.NewProfilesRequest(ctx, set,
			func(ctx context.Context, _ pprofile.Profiles) (xexporterhelper.Request, error) {
				return requestFrom(ctx)
			}, pusher, options...)
		return chain{e, func(ctx context.Context) error { return e.ConsumeProfiles(ctx, noProfiles) }}, err
	default:
		e, err := xexporterhelper.NewLogsRequest(ctx, set,
			func(ctx context.Context, _ plog.Logs) (xexporterhelper.Request, error) { return requestFrom(ctx) }, pusher, options...)
		return chain{e, func(ctx context.Context) error { return e.ConsumeLogs(ctx, noLogs) }}, err
	}
}

// queueOption puts a queue in front of a chain.
func queueOption(cfg *Config, encoding exporterhelper.QueueBatchEncoding[xexporterhelper.Request]) exporterhelper.Option {
	return xexporterhelper.WithQueueBatch(cfg.QueueConfig, xexporterhelper.QueueBatchSettings{
		Encoding:         encoding,
		ReferenceCounter: referenceCounter{},
	})
}

// queueEncoding is how a request lies on disk.
type queueEncoding struct {
	signal  wire.Signal
	buffers mem.BufferPool
	// undecodable is told of records that are on disk and cannot be read. The queue itself drops them without a word.
	undecodable func(error)
}

// Marshal returns the record of a request and of what the Collector keeps of its context.
func (e queueEncoding) Marshal(ctx context.Context, r xexporterhelper.Request) ([]byte, error) {
	return encodeRecord(ctx, e.signal, r.(*request).wire)
}

// Unmarshal reads a record. Its result is released by the queue.
func (e queueEncoding) Unmarshal(record []byte) (context.Context, xexporterhelper.Request, error) {
	ctx, w, err := decodeRecord(record, e.signal)
	if err != nil {
		// The queue keeps a place for a request that it could not write. It was refused, and is not lost now.
		if len(record) > 0 {
			e.undecodable(err)
		}
		return ctx, nil, err
	}
	return ctx, newRequest(w, e.buffers), nil
}
