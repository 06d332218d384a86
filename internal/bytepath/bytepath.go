// Package bytepath is the contract by which components of this module hand encoded requests through a pipeline that was
// made for decoded ones.
//
// The pdata value of such a call is a marker: it holds no items, and the context carries the request (context values
// survive the memory limiter, the fan-out and the graph's observers, which only count the items). A consumer asks Traces,
// Metrics or Logs of this package for the request before it looks at the pdata value.
//
// The request belongs to the caller and is freed when the call returns: who keeps it longer clones it.
package bytepath

import (
	"context"
	"errors"

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

type contextKey struct{}

// NewContext returns a copy of ctx that carries the request. The caller keeps its reference.
func NewContext(ctx context.Context, r *wire.Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// FromContext returns the request that ctx carries, or nil.
func FromContext(ctx context.Context) *wire.Request {
	r, _ := ctx.Value(contextKey{}).(*wire.Request)
	return r
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
	r := FromContext(ctx)
	if r == nil {
		return nil, ErrNoBytes
	}
	if r.Signal() != signal {
		return nil, errSignal
	}
	return r, nil
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
