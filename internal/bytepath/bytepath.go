// Package bytepath is the contract by which components of this module hand encoded requests through a pipeline that was
// made for decoded ones.
//
// The pdata value of such a call is a marker: it holds no items, and the context carries the request (context values
// survive the memory limiter, the fan-out and the graph's observers, which only count the items). A consumer asks Traces,
// Metrics or Logs of this package for the request before it looks at the pdata value.
//
// The request belongs to the caller and is freed when the call returns: who keeps it longer clones it.
//
// A component that knows nothing of this contract sees an empty value and may well answer that all is done. The converter keeps such
// components off the path; should one get there, Confirm turns its answer into an error.
package bytepath

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// markerURL is the schema URL of a marker's only resource.
const markerURL = "urn:otelcol-adaptive:bytepath"

// ErrNoBytes is returned for a marker whose request was lost on the way: a component between has replaced the context. To
// go on would acknowledge telemetry and drop it. It is permanent, since sending again would lose the bytes again.
var ErrNoBytes = consumererror.NewPermanent(errors.New("the request's bytes were lost between its receiver and this " +
	"component: a component between does not pass on the context; set `decode: true` on the receiver"))

// errSignal is returned when marker and request differ in signal, which only a fault of this module can cause.
var errSignal = errors.New("the request in the context carries another signal than the call")

// ErrNotTaken is returned where a call succeeded though nobody asked for its request. The client keeps the telemetry and tries again, for
// it is the configuration that has to change.
var ErrNotTaken = errors.New("the next component has answered without taking the request's bytes: it cannot carry encoded " +
	"requests; set `decode: true` on the pooledotlp receiver and `encode: false` on adaptivebatch")

// converted says that the converter has looked at a configuration in this process.
var converted atomic.Bool

// Converted is called by the converter, whenever it has made up its mind about a configuration.
func Converted() { converted.Store(true) }

// HasConverter reports whether the converter is part of this process, and so has written, or confirmed, what a configuration says to
// be verified.
func HasConverter() bool { return converted.Load() }

type contextKey struct{}

// carrier is a context that carries a request.
type carrier struct {
	context.Context
	request *wire.Request
	taken   atomic.Bool
}

// Value implements context.Context.
func (c *carrier) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// NewContext returns a copy of ctx that carries the request. The caller keeps its reference.
func NewContext(ctx context.Context, r *wire.Request) context.Context {
	return &carrier{Context: ctx, request: r}
}

// FromContext returns the request that ctx carries, or nil.
func FromContext(ctx context.Context) *wire.Request {
	if c := carrierOf(ctx); c != nil {
		return c.request
	}
	return nil
}

func carrierOf(ctx context.Context) *carrier {
	c, _ := ctx.Value(contextKey{}).(*carrier)
	return c
}

// Confirm returns the result of a call that was made with ctx: ErrNotTaken if ctx carries a request and the call succeeded though nobody
// has taken it, else err. Of the branches of a fan-out one that takes it is enough.
func Confirm(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	if c := carrierOf(ctx); c != nil && !c.taken.Load() {
		return ErrNotTaken
	}
	return nil
}

// The markers are shared and read-only, and belong to the pipeline from the start: a Collector's graph marks what enters it as
// its own, without a lock, and ends the life of what it marked. Of two first calls at once both would, and the process with them.
var (
	tracesMarker  = newTracesMarker()
	metricsMarker = newMetricsMarker()
	logsMarker    = newLogsMarker()
)

// TracesMarker returns the value to call ConsumeTraces with.
func TracesMarker() ptrace.Traces { return tracesMarker }

// MetricsMarker returns the value to call ConsumeMetrics with.
func MetricsMarker() pmetric.Metrics { return metricsMarker }

// LogsMarker returns the value to call ConsumeLogs with.
func LogsMarker() plog.Logs { return logsMarker }

// Traces returns the request that stands behind td, or nil if td is not a marker but traces.
func Traces(ctx context.Context, td ptrace.Traces) (*wire.Request, error) {
	rs := td.ResourceSpans()
	return request(ctx, wire.Traces, rs.Len() == 1 && rs.At(0).SchemaUrl() == markerURL)
}

// Metrics returns the request that stands behind md, or nil if md is not a marker but metrics.
func Metrics(ctx context.Context, md pmetric.Metrics) (*wire.Request, error) {
	rm := md.ResourceMetrics()
	return request(ctx, wire.Metrics, rm.Len() == 1 && rm.At(0).SchemaUrl() == markerURL)
}

// Logs returns the request that stands behind ld, or nil if ld is not a marker but logs.
func Logs(ctx context.Context, ld plog.Logs) (*wire.Request, error) {
	rl := ld.ResourceLogs()
	return request(ctx, wire.Logs, rl.Len() == 1 && rl.At(0).SchemaUrl() == markerURL)
}

func request(ctx context.Context, signal wire.Signal, marked bool) (*wire.Request, error) {
	if !marked {
		return nil, nil
	}
	c := carrierOf(ctx)
	if c == nil {
		return nil, ErrNoBytes
	}
	if c.request.Signal() != signal {
		return nil, errSignal
	}
	c.taken.Store(true)
	return c.request, nil
}

func newTracesMarker() ptrace.Traces {
	td := ptrace.NewTraces()
	td.ResourceSpans().AppendEmpty().SetSchemaUrl(markerURL)
	pref.MarkPipelineOwnedTraces(td)
	td.MarkReadOnly()
	return td
}

func newMetricsMarker() pmetric.Metrics {
	md := pmetric.NewMetrics()
	md.ResourceMetrics().AppendEmpty().SetSchemaUrl(markerURL)
	pref.MarkPipelineOwnedMetrics(md)
	md.MarkReadOnly()
	return md
}

func newLogsMarker() plog.Logs {
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().SetSchemaUrl(markerURL)
	pref.MarkPipelineOwnedLogs(ld)
	ld.MarkReadOnly()
	return ld
}
