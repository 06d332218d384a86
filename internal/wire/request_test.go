package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.uber.org/goleak"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPool returns a pool that must have all its buffers back when the test ends.
func newPool(t *testing.T) *bufpool.Pool {
	p := bufpool.New(bufpool.DefaultConfig())
	t.Cleanup(func() {
		assert.Zero(t, p.Stats().InUse, "every buffer is returned")
		p.Close()
	})
	return p
}

func encodedTraces(t *testing.T, n int, pool mem.BufferPool) *Request {
	t.Helper()
	r, err := FromTraces(testdata.GenerateTraces(n), pool)
	require.NoError(t, err)
	return r
}

func TestAnEncodedRequestSaysWhatItHolds(t *testing.T) {
	pool := newPool(t)
	for _, c := range []struct {
		make   func() (*Request, error)
		signal Signal
		name   string
		items  int
	}{
		{func() (*Request, error) { return FromTraces(testdata.GenerateTraces(7), pool) }, Traces, "traces", 7},
		{func() (*Request, error) { return FromMetrics(testdata.GenerateMetrics(7), pool) }, Metrics, "metrics", testdata.GenerateMetrics(7).DataPointCount()},
		{func() (*Request, error) { return FromLogs(testdata.GenerateLogs(7), pool) }, Logs, "logs", 7},
	} {
		r, err := c.make()
		require.NoError(t, err)
		assert.Equal(t, c.signal, r.Signal())
		assert.Equal(t, c.name, r.Signal().String())
		assert.Equal(t, c.items, r.Items())
		assert.Equal(t, 1, r.Parts())
		assert.False(t, r.Irregular())
		assert.Equal(t, r.Bytes(), r.Buffers().Len())
		assert.Equal(t, r.Buffers().Materialize(), r.AppendTo(nil))
		r.Free()
	}
	assert.Equal(t, "unknown", Signal(9).String())
}

func TestAllHoldersOfACloneKeepItsBytes(t *testing.T) {
	pool := newPool(t)
	r := encodedTraces(t, 100, pool)
	want := r.AppendTo(nil)
	c := r.Clone()
	r.Free()
	r.Free() // once more does nothing
	assert.Zero(t, r.Items())
	assert.Empty(t, r.Buffers())
	assert.Equal(t, want, c.AppendTo(nil))
	assert.Equal(t, 100, c.Items())
	c.Free()
}

func TestAppendTakesOverAndRemembersTheParts(t *testing.T) {
	pool := newPool(t)
	a, b, c := encodedTraces(t, 3, pool), encodedTraces(t, 40, pool), encodedTraces(t, 2, pool)
	want := append(append(a.AppendTo(nil), b.AppendTo(nil)...), c.AppendTo(nil)...)
	b.Append(c)
	a.Append(b)
	assert.Zero(t, b.Items()+c.Items())
	assert.Equal(t, 45, a.Items())
	assert.Equal(t, 3, a.Parts())
	assert.Equal(t, want, a.AppendTo(nil))
	td, err := a.Traces()
	require.NoError(t, err)
	assert.Equal(t, 45, td.SpanCount())

	clone := a.Clone()
	clone.Append(encodedTraces(t, 1, pool))
	assert.Equal(t, 3, a.Parts(), "a clone has parts of its own")
	clone.Free()
	a.Free()
}

func TestSignalsDoNotMix(t *testing.T) {
	logs, err := FromLogs(testdata.GenerateLogs(1), mem.NopBufferPool{})
	require.NoError(t, err)
	assert.PanicsWithValue(t, "wire: logs appended to traces", func() { encodedTraces(t, 1, mem.NopBufferPool{}).Append(logs) })
	_, err = logs.Traces()
	require.EqualError(t, err, "a logs request decoded as traces")
}

func TestCheckTakesReferencesOnSuccessOnly(t *testing.T) {
	pool := newPool(t)
	good := encodedTraces(t, 50, pool)
	data := good.Buffers()
	data.Ref()
	r, err := Check(Traces, data)
	require.NoError(t, err)
	good.Free()
	assert.Equal(t, 50, r.Items())
	r.Free()

	b := pool.Get(5000)
	clear(*b)
	bad := mem.BufferSlice{mem.NewBuffer(b, pool)}
	_, err = Check(Traces, bad)
	require.Error(t, err)
	bad.Free() // still ours
}

func TestCheckDoesNotAllocateForTheWalk(t *testing.T) {
	for _, n := range []int{10, 1000} {
		s := frames(encodedTraces(t, n, mem.NopBufferPool{}).AppendTo(nil), 4096)
		assert.Equal(t, 1.0, testing.AllocsPerRun(20, func() { _, _ = Check(Traces, s) }), "the Request itself")
	}
}

func TestASyntaxErrorSaysWhereAndWhy(t *testing.T) {
	span := func(fields ...[]byte) []byte { return msg(1, resource, msg(2, scope, msg(2, fields...))) }
	deep := num(2, 1)
	for range maxDepth {
		deep = msg(5, msg(1, deep))
	}
	for name, c := range map[string]struct {
		data   []byte
		offset int
		text   string
	}{
		"in an attribute": {
			span(str(5, "n"), msg(9, str(1, "k"), msg(2, fix32(1, 0)))), 37,
			"malformed traces request at offset 37 in resource_spans.scope_spans.spans.attributes.value: the wire type is not the field's",
		},
		"at the start": {raw(0x0a), 0, "malformed traces request at offset 0: the field ends beyond its message"},
		"in a trace ID": {
			span(str(5, "n"), msg(1, make([]byte, 3))), 30,
			"malformed traces request at offset 30 in resource_spans.scope_spans.spans: a trace ID has 0 or 16 bytes",
		},
		"too deep": {span(msg(9, msg(2, deep))), -1, "messages are nested deeper than 10000"},
	} {
		for _, frame := range []int{0, 1, 3, 16} {
			_, err := Check(Traces, frames(c.data, frame))
			var syntax *SyntaxError
			require.ErrorAs(t, err, &syntax, name)
			assert.Contains(t, err.Error(), c.text, name)
			if c.offset >= 0 {
				assert.Equal(t, c.offset, syntax.Offset, "%s in frames of %d", name, frame)
			}
			assert.LessOrEqual(t, strings.Count(syntax.Path, "."), maxPath+3)
		}
	}
}

func TestEverySplitGivesItsBuffersBack(t *testing.T) {
	for _, c := range []struct{ maxItems, maxBytes int }{{0, 0}, {1, 0}, {7, 0}, {0, 300}, {0, 5000}, {13, 2000}, {1000, 1 << 20}} {
		pool := newPool(t)
		r := encodedTraces(t, 60, pool)
		r.Append(encodedTraces(t, 30, pool))
		kept := r.Clone()
		pieces, err := r.Split(c.maxItems, c.maxBytes, pool)
		require.NoError(t, err)
		total := 0
		for _, p := range pieces {
			total += p.Items()
			_, err := p.Traces()
			require.NoError(t, err)
			p.Free()
		}
		assert.Equal(t, 90, total)
		assert.Equal(t, 90, kept.Items())
		kept.Free()
	}
}

func TestSplitFillsEveryRequestButTheLast(t *testing.T) {
	r := encodedTraces(t, 250, mem.NopBufferPool{})
	pieces, err := r.Split(100, 0, mem.NopBufferPool{})
	require.NoError(t, err)
	require.Len(t, pieces, 3)
	for i, want := range []int{100, 100, 50} {
		assert.Equal(t, want, pieces[i].Items())
	}
	assert.Zero(t, r.Items(), "the request is used up")
}

func TestSplitDoesNotCopyItems(t *testing.T) {
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for range 10 {
		spans.AppendEmpty().SetName(strings.Repeat("x", 100_000))
	}
	pool := newPool(t)
	r, err := FromTraces(td, pool)
	require.NoError(t, err)
	before := pool.Stats().InUseBytes
	pieces, err := r.Split(1, 0, pool)
	require.NoError(t, err)
	assert.Len(t, pieces, 10)
	assert.Less(t, pool.Stats().InUseBytes-before, int64(10*4096))
	for _, p := range pieces {
		p.Free()
	}
}

func TestSplitRefusesNegativeLimits(t *testing.T) {
	r := encodedTraces(t, 2, mem.NopBufferPool{})
	_, err := r.Split(-1, 0, nil)
	require.EqualError(t, err, "split: limits must not be negative, found -1 items and 0 bytes")
	assert.Equal(t, 2, r.Items(), "the request is unchanged")
}

func TestSplitOfBytesChangedAfterTheCheckIsAnError(t *testing.T) {
	data := encodedTraces(t, 10, mem.NopBufferPool{}).AppendTo(nil)
	r := mustCheck(t, Traces, mem.BufferSlice{mem.SliceBuffer(data)})
	for i := range data {
		data[i] = 0xdb
	}
	_, err := r.Split(3, 0, mem.NopBufferPool{})
	require.ErrorIs(t, err, errLength)
	assert.Equal(t, 10, r.Items(), "the request is unchanged")
}

func TestARequestWithoutItemsIsNotDivided(t *testing.T) {
	r := mustCheck(t, Traces, mem.BufferSlice{mem.SliceBuffer(str(99, "unknown to every decoder"))})
	pieces, err := r.Split(0, 5, mem.NopBufferPool{})
	require.NoError(t, err)
	assert.Equal(t, []*Request{r}, pieces)
}

func TestAMetricIsDividedWithAllItsFields(t *testing.T) {
	metric := msg(2, str(1, "requests"), msg(7, num(2, 2), num(3, 1), msg(1, fix64(4, 1)), msg(1, fix64(4, 2))), str(3, "1"), str(2, "text"),
		msg(12, str(1, "k"), msg(2, str(1, "v"))))
	r := mustCheck(t, Metrics, mem.BufferSlice{mem.SliceBuffer(msg(1, msg(2, metric)))})
	pieces, err := r.Split(1, 0, mem.NopBufferPool{})
	require.NoError(t, err)
	require.Len(t, pieces, 2)
	for i, p := range pieces {
		md, err := p.Metrics()
		require.NoError(t, err)
		m := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
		assert.Equal(t, "requests", m.Name())
		assert.Equal(t, "text", m.Description())
		assert.Equal(t, "1", m.Unit())
		assert.Equal(t, 1, m.Metadata().Len())
		assert.True(t, m.Sum().IsMonotonic())
		assert.Equal(t, "Cumulative", m.Sum().AggregationTemporality().String())
		assert.Equal(t, float64(i+1)*4.9406564584124654e-324, m.Sum().DataPoints().At(0).DoubleValue())
	}
}

func TestWhatOnlyPdataReadsIsIrregular(t *testing.T) {
	irregular := []string{
		"deprecated scopes", "a varint of ten bytes that overflows", "a known varint that overflows", "an attribute that overflows",
		"packed varints that overflow", "a tag of six bytes", "a length of six bytes", "a field number whose lower 32 bits are 1",
		"a field number beyond the largest", "a group not ended in a span", "an empty group",
		"a group not ended", "nested groups",
	}
	for _, frame := range []int{0, 1, 7} {
		var got []string
		for _, h := range handmade {
			is := false
			for _, signal := range []Signal{Traces, Metrics, Logs} {
				r, err := Check(signal, frames(h.data, frame))
				is = is || err == nil && r.Irregular()
			}
			if is {
				got = append(got, h.name)
			}
		}
		assert.ElementsMatch(t, irregular, got, "in frames of %d", frame)
	}
}
