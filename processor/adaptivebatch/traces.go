package adaptivebatch

import (
	"context"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// tracesProcessor carries traces.
type tracesProcessor struct {
	*batcher
	next   consumer.Traces
	signal decodedSignal[ptrace.Traces]
}

func newTraces(b *batcher, next consumer.Traces) *tracesProcessor {
	return &tracesProcessor{batcher: b, next: next, signal: decodedSignal[ptrace.Traces]{
		items:     ptrace.Traces.SpanCount,
		size:      (&ptrace.ProtoMarshaler{}).TracesSize,
		resources: func(td ptrace.Traces) int { return td.ResourceSpans().Len() },
		move:      func(to, from ptrace.Traces) { from.ResourceSpans().MoveAndAppendTo(to.ResourceSpans()) },
		copyOf:    copyTraces,
		cut:       cutTraces,
		place:     placeInTraces,
		empty:     ptrace.NewTraces,
		own:       func(data ptrace.Traces) { pref.MarkPipelineOwnedTraces(data) },
		encode:    wire.FromTraces,
		decode:    (*wire.Request).Traces,
		consume:   next.ConsumeTraces,
		mutates:   next.Capabilities().MutatesData,
	}}
}

// ConsumeTraces returns when the backend has answered for these spans (with `wait_for_result: false`: when there is room
// for them). It can be called by many at once.
func (p *tracesProcessor) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	request, err := bytepath.Traces(ctx, td)
	if err != nil {
		return err
	}
	if request != nil {
		return p.consume(ctx, newEncoded(request, p.sendMarker), encodedKind, nil)
	}
	return consumeDecoded(ctx, p.batcher, &p.signal, td, p.sendMarker)
}

func (p *tracesProcessor) sendMarker(ctx context.Context) error {
	return p.next.ConsumeTraces(ctx, bytepath.TracesMarker())
}

func copyTraces(td ptrace.Traces, from, to int) ptrace.Traces {
	out := ptrace.NewTraces()
	out.ResourceSpans().EnsureCapacity(to - from)
	for i := from; i < to; i++ {
		td.ResourceSpans().At(i).CopyTo(out.ResourceSpans().AppendEmpty())
	}
	return out
}

func cutTraces(td ptrace.Traces, n int) ptrace.Traces {
	out := ptrace.NewTraces()
	td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		if n == 0 {
			return false
		}
		to := out.ResourceSpans().AppendEmpty()
		if count := spanCount(rs); count <= n {
			n -= count
			rs.MoveTo(to)
			return true
		}
		copySpansResource(rs, to)
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			if n == 0 {
				return false
			}
			to := to.ScopeSpans().AppendEmpty()
			if count := ss.Spans().Len(); count <= n {
				n -= count
				ss.MoveTo(to)
				return true
			}
			copySpansScope(ss, to)
			ss.Spans().RemoveIf(func(span ptrace.Span) bool {
				if n == 0 {
					return false
				}
				n--
				span.MoveTo(to.Spans().AppendEmpty())
				return true
			})
			return false
		})
		return false
	})
	return out
}

func copySpansResource(from, to ptrace.ResourceSpans) {
	from.Resource().CopyTo(to.Resource())
	to.SetSchemaUrl(from.SchemaUrl())
}

func copySpansScope(from, to ptrace.ScopeSpans) {
	from.Scope().CopyTo(to.Scope())
	to.SetSchemaUrl(from.SchemaUrl())
}

func placeInTraces(td ptrace.Traces, n, credit int) (place, bool) {
	m := &ptrace.ProtoMarshaler{}
	return placeIn(each(td.ResourceSpans().All(), func(rs ptrace.ResourceSpans) container {
		resource := newContainer(rs, spanCount(rs), m.ResourceSpansSize, ptrace.NewResourceSpans, copySpansResource)
		resource.inner = each(rs.ScopeSpans().All(), func(ss ptrace.ScopeSpans) container {
			scope := newContainer(ss, ss.Spans().Len(), m.ScopeSpansSize, ptrace.NewScopeSpans, copySpansScope)
			scope.sizes = each(ss.Spans().All(), m.SpanSize)
			return scope
		})
		return resource
	}), n, credit)
}

func spanCount(rs ptrace.ResourceSpans) int {
	n := 0
	for _, ss := range rs.ScopeSpans().All() {
		n += ss.Spans().Len()
	}
	return n
}

func (p *tracesProcessor) Capabilities() consumer.Capabilities { return capabilities }
