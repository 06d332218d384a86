package pooledotlp

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

func pooledRequest(t *testing.T, pool mem.BufferPool, n int) *request {
	t.Helper()
	w, err := wire.FromTraces(spans(n), pool)
	require.NoError(t, err)
	return newRequest(w, pool)
}

func TestMergeSplitKeepsItemsAndReturnsEveryBufferOnce(t *testing.T) {
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	first, second := pooledRequest(t, pool, 100), pooledRequest(t, pool, 250)

	// As the helper's batcher does it: the queue's references go as soon as its consumer returns.
	batch, err := first.MergeSplit(context.Background(), 0, exporterhelper.RequestSizerTypeItems, nil)
	require.NoError(t, err)
	require.Len(t, batch, 1)
	first.release()
	parts, err := batch[0].MergeSplit(context.Background(), 120, exporterhelper.RequestSizerTypeItems, second)
	require.NoError(t, err)
	second.release()

	var items []int
	names := map[string]int{}
	for _, p := range parts {
		items = append(items, p.ItemsCount())
		td, err := p.(*request).wire.Traces()
		require.NoError(t, err)
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					names[s.Name()]++
				}
			}
		}
		p.(*request).release()
	}
	assert.Equal(t, []int{120, 120, 110}, items)
	assert.Len(t, names, 250, "span 0 to 99 twice, 100 to 249 once")
	assert.Equal(t, 2, names["span 99"])
	assert.Equal(t, 1, names["span 249"])
	assert.Zero(t, pool.Stats().InUse, "every buffer is back")
}

func TestMergeSplitByBytes(t *testing.T) {
	r := newRequest(wireTraces(t, spans(200)), nopBuffers)
	limit := r.BytesSize() / 3
	parts, err := r.MergeSplit(context.Background(), limit, exporterhelper.RequestSizerTypeBytes, nil)
	require.NoError(t, err)
	total := 0
	for _, p := range parts {
		assert.LessOrEqual(t, p.BytesSize(), limit)
		total += p.ItemsCount()
	}
	assert.Equal(t, 200, total)
}

func TestMergeSplitMultipliesNoRequest(t *testing.T) {
	td := spans(100)
	td.ResourceSpans().At(0).Resource().Attributes().PutStr("large", strings.Repeat("x", 300<<10))
	r := newRequest(wireTraces(t, td), nopBuffers)
	size := r.BytesSize()
	parts, err := r.MergeSplit(context.Background(), 200<<10, exporterhelper.RequestSizerTypeBytes, nil)
	require.NoError(t, err)
	require.Len(t, parts, 1, "a resource larger than its spans is not repeated for them")
	assert.Equal(t, size, parts[0].BytesSize())
	assert.Equal(t, 100, parts[0].ItemsCount())
}

type foreignRequest struct{ xexporterhelper.Request }

func TestMergeSplitRefusesWhatItCannotDo(t *testing.T) {
	r := newRequest(wireTraces(t, spans(1)), nopBuffers)
	_, err := r.MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeRequests, nil)
	require.ErrorContains(t, err, `cannot split by "requests"`)
	_, err = r.MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeItems, foreignRequest{})
	require.ErrorContains(t, err, "cannot merge a pooledotlp.foreignRequest")
}

func TestARecordKeepsTheRequestAndItsContext(t *testing.T) {
	ctx := client.NewContext(context.Background(), client.Info{Metadata: client.NewMetadata(map[string][]string{"tenant": {"a", "b"}})})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx = trace.ContextWithSpanContext(ctx, span)
	for signal, w := range map[wire.Signal]func() (*wire.Request, error){
		wire.Traces:  func() (*wire.Request, error) { return wire.FromTraces(spans(20), nopBuffers) },
		wire.Metrics: func() (*wire.Request, error) { return wire.FromMetrics(dataPoints(20), nopBuffers) },
		wire.Logs:    func() (*wire.Request, error) { return wire.FromLogs(logRecords(20), nopBuffers) },
		wire.Profiles: func() (*wire.Request, error) {
			return wire.FromProfiles(samples("checkout", 20), nopBuffers)
		},
	} {
		t.Run(signal.String(), func(t *testing.T) {
			r, err := w()
			require.NoError(t, err)
			e := queueEncoding{signal: signal, buffers: nopBuffers}
			record, err := e.Marshal(ctx, newRequest(r, nopBuffers))
			require.NoError(t, err)

			gotCtx, got, err := e.Unmarshal(record)
			require.NoError(t, err)
			assert.Equal(t, 20, got.ItemsCount())
			assert.Equal(t, r.AppendTo(nil), got.(*request).wire.AppendTo(nil))
			assert.Equal(t, []string{"a", "b"}, client.FromContext(gotCtx).Metadata.Get("tenant"))
			assert.Equal(t, span.TraceID(), trace.SpanContextFromContext(gotCtx).TraceID())
		})
	}
}

func TestARecordWithoutItemsIsReadToo(t *testing.T) {
	record, err := encodeRecord(context.Background(), wire.Logs, func() *wire.Request {
		w, err := wire.FromLogs(noLogs, nopBuffers)
		require.NoError(t, err)
		return w
	}())
	require.NoError(t, err)
	_, w, err := decodeRecord(record, wire.Logs)
	require.NoError(t, err)
	assert.Zero(t, w.Items())
}

func TestARecordThatCannotBeReadIsTold(t *testing.T) {
	told := 0
	e := queueEncoding{signal: wire.Traces, undecodable: func(error) { told++ }}
	for _, record := range [][]byte{{0xff}, {0x0d, 1, 0, 0, 0, 0x1a, 2, 0x0a, 9}, {0x1a, 0}} {
		_, _, err := e.Unmarshal(record)
		require.ErrorContains(t, err, "queued traces")
	}
	assert.Equal(t, 3, told)
	_, _, err := e.Unmarshal(nil)
	require.Error(t, err)
	assert.Equal(t, 3, told, "nothing was there")
}

func FuzzDecodeRecord(f *testing.F) {
	w, _ := wire.FromTraces(spans(3), nopBuffers)
	record, _ := encodeRecord(context.Background(), wire.Traces, w)
	f.Add(record)
	f.Add(record[:len(record)-3])
	f.Add(w.AppendTo(nil))
	f.Fuzz(func(t *testing.T, record []byte) {
		ctx, w, err := decodeRecord(record, wire.Traces)
		require.NotNil(t, ctx)
		if err != nil {
			return
		}
		again, err := encodeRecord(ctx, wire.Traces, w)
		require.NoError(t, err)
		_, w2, err := decodeRecord(again, wire.Traces)
		require.NoError(t, err)
		require.Equal(t, w.AppendTo(nil), w2.AppendTo(nil))
	})
}
