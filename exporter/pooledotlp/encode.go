package pooledotlp

import (
	"context"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	// Receivers of this process, the stock one included, read what this exporter sends.
	_ "github.com/otelcol-adaptive/otelcol-adaptive/internal/grpcbrotli"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// A request that comes encoded through the context stays as it is; the caller keeps its reference, so the exporter
// takes its own.

func (e *otlpExporter) encodeTraces(ctx context.Context, td ptrace.Traces) (*wire.Request, error) {
	if w, err := bytepath.Traces(ctx, td); w != nil || err != nil {
		return own(w), err
	}
	return wire.FromTraces(td, e.buffers)
}

func (e *otlpExporter) encodeMetrics(ctx context.Context, md pmetric.Metrics) (*wire.Request, error) {
	if w, err := bytepath.Metrics(ctx, md); w != nil || err != nil {
		return own(w), err
	}
	return wire.FromMetrics(md, e.buffers)
}

func (e *otlpExporter) encodeLogs(ctx context.Context, ld plog.Logs) (*wire.Request, error) {
	if w, err := bytepath.Logs(ctx, ld); w != nil || err != nil {
		return own(w), err
	}
	return wire.FromLogs(ld, e.buffers)
}

func own(w *wire.Request) *wire.Request {
	if w == nil {
		return nil
	}
	return w.Clone()
}
