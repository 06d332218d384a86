package adaptivebatch

import (
	"context"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// metricsProcessor carries metrics.
type metricsProcessor struct {
	*batcher
	next   consumer.Metrics
	signal decodedSignal[pmetric.Metrics]
}

func newMetrics(b *batcher, next consumer.Metrics) *metricsProcessor {
	return &metricsProcessor{batcher: b, next: next, signal: decodedSignal[pmetric.Metrics]{
		items:     pmetric.Metrics.DataPointCount,
		size:      (&pmetric.ProtoMarshaler{}).MetricsSize,
		resources: func(md pmetric.Metrics) int { return md.ResourceMetrics().Len() },
		move:      func(to, from pmetric.Metrics) { from.ResourceMetrics().MoveAndAppendTo(to.ResourceMetrics()) },
		copyOf:    copyMetrics,
		cut:       cutMetrics,
		place:     placeInMetrics,
		empty:     pmetric.NewMetrics,
		own:       func(data pmetric.Metrics) { pref.MarkPipelineOwnedMetrics(data) },
		encode:    wire.FromMetrics,
		decode:    (*wire.Request).Metrics,
		consume:   next.ConsumeMetrics,
		mutates:   next.Capabilities().MutatesData,
	}}
}

// ConsumeMetrics returns when the backend has answered for these data points (with `wait_for_result: false`: when there is room
// for them). It can be called by many at once.
func (p *metricsProcessor) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	request, err := bytepath.Metrics(ctx, md)
	if err != nil {
		return err
	}
	if request != nil {
		return p.consume(ctx, newEncoded(request, p.sendMarker), encodedKind, nil)
	}
	return consumeDecoded(ctx, p.batcher, &p.signal, md, p.sendMarker)
}

func (p *metricsProcessor) sendMarker(ctx context.Context) error {
	return p.next.ConsumeMetrics(ctx, bytepath.MetricsMarker())
}

func copyMetrics(md pmetric.Metrics, from, to int) pmetric.Metrics {
	out := pmetric.NewMetrics()
	out.ResourceMetrics().EnsureCapacity(to - from)
	for i := from; i < to; i++ {
		md.ResourceMetrics().At(i).CopyTo(out.ResourceMetrics().AppendEmpty())
	}
	return out
}

func (p *metricsProcessor) Capabilities() consumer.Capabilities { return capabilities }
