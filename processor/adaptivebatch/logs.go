package adaptivebatch

import (
	"context"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// logsProcessor carries logs.
type logsProcessor struct {
	*batcher
	next   consumer.Logs
	signal decodedSignal[plog.Logs]
}

func newLogs(b *batcher, next consumer.Logs) *logsProcessor {
	return &logsProcessor{batcher: b, next: next, signal: decodedSignal[plog.Logs]{
		items:     plog.Logs.LogRecordCount,
		size:      (&plog.ProtoMarshaler{}).LogsSize,
		resources: func(ld plog.Logs) int { return ld.ResourceLogs().Len() },
		move:      func(to, from plog.Logs) { from.ResourceLogs().MoveAndAppendTo(to.ResourceLogs()) },
		copyOf:    copyLogs,
		cut:       cutLogs,
		place:     placeInLogs,
		empty:     plog.NewLogs,
		own:       func(data plog.Logs) { pref.MarkPipelineOwnedLogs(data) },
		encode:    wire.FromLogs,
		decode:    (*wire.Request).Logs,
		consume:   next.ConsumeLogs,
		mutates:   next.Capabilities().MutatesData,
	}}
}

// ConsumeLogs returns when the backend has answered for these log records (with `wait_for_result: false`: when there is room
// for them). It can be called by many at once.
func (p *logsProcessor) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	request, err := bytepath.Logs(ctx, ld)
	if err != nil {
		return err
	}
	if request != nil {
		return p.consume(ctx, newEncoded(request, p.sendMarker), encodedKind, nil)
	}
	return consumeDecoded(ctx, p.batcher, &p.signal, ld, p.sendMarker)
}

func (p *logsProcessor) sendMarker(ctx context.Context) error {
	return p.next.ConsumeLogs(ctx, bytepath.LogsMarker())
}

func copyLogs(ld plog.Logs, from, to int) plog.Logs {
	out := plog.NewLogs()
	out.ResourceLogs().EnsureCapacity(to - from)
	for i := from; i < to; i++ {
		ld.ResourceLogs().At(i).CopyTo(out.ResourceLogs().AppendEmpty())
	}
	return out
}

func cutLogs(ld plog.Logs, n int) plog.Logs {
	out := plog.NewLogs()
	ld.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		if n == 0 {
			return false
		}
		to := out.ResourceLogs().AppendEmpty()
		if count := recordCount(rl); count <= n {
			n -= count
			rl.MoveTo(to)
			return true
		}
		copyLogsResource(rl, to)
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			if n == 0 {
				return false
			}
			to := to.ScopeLogs().AppendEmpty()
			if count := sl.LogRecords().Len(); count <= n {
				n -= count
				sl.MoveTo(to)
				return true
			}
			copyLogsScope(sl, to)
			sl.LogRecords().RemoveIf(func(record plog.LogRecord) bool {
				if n == 0 {
					return false
				}
				n--
				record.MoveTo(to.LogRecords().AppendEmpty())
				return true
			})
			return false
		})
		return false
	})
	return out
}

func copyLogsResource(from, to plog.ResourceLogs) {
	from.Resource().CopyTo(to.Resource())
	to.SetSchemaUrl(from.SchemaUrl())
}

func copyLogsScope(from, to plog.ScopeLogs) {
	from.Scope().CopyTo(to.Scope())
	to.SetSchemaUrl(from.SchemaUrl())
}

func placeInLogs(ld plog.Logs, n, credit int) (place, bool) {
	m := &plog.ProtoMarshaler{}
	return placeIn(each(ld.ResourceLogs().All(), func(rl plog.ResourceLogs) container {
		resource := newContainer(rl, recordCount(rl), m.ResourceLogsSize, plog.NewResourceLogs, copyLogsResource)
		resource.inner = each(rl.ScopeLogs().All(), func(sl plog.ScopeLogs) container {
			scope := newContainer(sl, sl.LogRecords().Len(), m.ScopeLogsSize, plog.NewScopeLogs, copyLogsScope)
			scope.sizes = each(sl.LogRecords().All(), m.LogRecordSize)
			return scope
		})
		return resource
	}), n, credit)
}

func recordCount(rl plog.ResourceLogs) int {
	n := 0
	for _, sl := range rl.ScopeLogs().All() {
		n += sl.LogRecords().Len()
	}
	return n
}

func (p *logsProcessor) Capabilities() consumer.Capabilities { return capabilities }
