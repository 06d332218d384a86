package payload

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func newSet(t testing.TB, signal Signal, n int) *Set {
	t.Helper()
	s, err := NewSet(signal, n, 1)
	require.NoError(t, err)
	return s
}

func nestedSet(t testing.TB, signal Signal, n int) *Set {
	t.Helper()
	s, err := NewNestedSet(signal, n, 1)
	require.NoError(t, err)
	return s
}

func TestEveryItemOfARequestHasItsNumberAndContent(t *testing.T) {
	for _, signal := range Signals {
		for _, n := range []int{1, 7, 100} {
			for _, s := range []*Set{newSet(t, signal, n), nestedSet(t, signal, n)} {
				for _, seq := range []uint64{0, 1, 2, 3, 13, 1_000_000} {
					body := s.AppendRequest(nil, seq)
					assert.Len(t, body, s.Size(seq))
					next := seq * uint64(n)
					require.NoError(t, s.Numbers(body, func(number uint64) {
						assert.Equal(t, next, number)
						next++
					}))
					assert.Equal(t, (seq+1)*uint64(n), next)
					next = seq * uint64(n)
					require.NoError(t, s.Items(body, func(item Item) {
						assert.Equal(t, Item{Number: next, Checksum: s.Checksum(next), TraceKept: true}, item)
						next++
					}))
					assert.Equal(t, (seq+1)*uint64(n), next, "%s/%d", signal, n)
				}
			}
		}
	}
}

func TestARequestIsAppended(t *testing.T) {
	s := newSet(t, Traces, 3)
	both := s.AppendRequest(s.AppendRequest(nil, 0), 1)
	var numbers []uint64
	require.NoError(t, s.Numbers(both, func(n uint64) { numbers = append(numbers, n) }))
	assert.Equal(t, []uint64{0, 1, 2, 3, 4, 5}, numbers)
}

func TestTheSameSeedGivesTheSameRequests(t *testing.T) {
	other, err := NewSet(Logs, 10, 2)
	require.NoError(t, err)
	assert.Equal(t, newSet(t, Logs, 10).AppendRequest(nil, 5), newSet(t, Logs, 10).AppendRequest(nil, 5))
	assert.NotEqual(t, newSet(t, Logs, 10).AppendRequest(nil, 5), other.AppendRequest(nil, 5))
}

func TestAChangedByteOfContentChangesTheChecksum(t *testing.T) {
	for _, signal := range Signals {
		s := newSet(t, signal, 4)
		body := s.AppendRequest(nil, 0)
		at := bytes.Index(body, []byte("shop.example.com"))
		if signal == Logs {
			at = bytes.Index(body, []byte("answered"))
		}
		require.Positive(t, at)
		body[at] ^= 1
		wrong := 0
		require.NoError(t, s.Items(body, func(item Item) {
			if item.Checksum != s.Checksum(item.Number) {
				wrong++
			}
		}))
		assert.Equal(t, 1, wrong, signal)
	}
}

// What a Collector must keep together is in the checksum of every item: a join that gives spans another's resource or scope is seen.
func TestAnotherResourceOrScopeIsSeen(t *testing.T) {
	s := nestedSet(t, Traces, 8)
	wrong := func(spoil func(ptrace.Traces)) (numbers []uint64) {
		td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(s.AppendRequest(nil, 0))
		require.NoError(t, err)
		spoil(td)
		body, err := new(ptrace.ProtoMarshaler).MarshalTraces(td)
		require.NoError(t, err)
		require.NoError(t, s.Items(body, func(item Item) {
			if item.Checksum != s.Checksum(item.Number) {
				numbers = append(numbers, item.Number)
			}
		}))
		return numbers
	}
	assert.Empty(t, wrong(func(ptrace.Traces) {}))
	assert.Equal(t, []uint64{4, 5, 6, 7}, wrong(func(td ptrace.Traces) {
		td.ResourceSpans().At(0).Resource().CopyTo(td.ResourceSpans().At(1).Resource())
	}))
	assert.Equal(t, []uint64{2, 3}, wrong(func(td ptrace.Traces) {
		scopes := td.ResourceSpans().At(0).ScopeSpans()
		scopes.At(0).Scope().CopyTo(scopes.At(1).Scope())
	}))
	first := func(td ptrace.Traces) ptrace.Span { return td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0) }
	assert.Equal(t, []uint64{0}, wrong(func(td ptrace.Traces) { first(td).Events().RemoveIf(func(ptrace.SpanEvent) bool { return true }) }))
	assert.Equal(t, []uint64{0}, wrong(func(td ptrace.Traces) { first(td).Links().At(0).SetSpanID([8]byte{}) }))
}

func TestALostParentIsSeen(t *testing.T) {
	s := newSet(t, Traces, 2)
	td, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(s.AppendRequest(nil, 1))
	require.NoError(t, err)
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(1).SetParentSpanID([8]byte{})
	body, err := new(ptrace.ProtoMarshaler).MarshalTraces(td)
	require.NoError(t, err)
	var kept []bool
	require.NoError(t, s.Items(body, func(item Item) {
		kept = append(kept, item.TraceKept)
		assert.Equal(t, s.Checksum(item.Number), item.Checksum)
	}))
	assert.Equal(t, []bool{true, false}, kept)
}

func TestMetricsCarryEveryKind(t *testing.T) {
	md, err := new(pmetric.ProtoUnmarshaler).UnmarshalMetrics(newSet(t, Metrics, 20).AppendRequest(nil, 0))
	require.NoError(t, err)
	kinds := map[pmetric.MetricType]int{}
	for _, m := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		kinds[m.Type()]++
	}
	assert.Equal(t, map[pmetric.MetricType]int{
		pmetric.MetricTypeGauge: 1, pmetric.MetricTypeSum: 1, pmetric.MetricTypeHistogram: 1, pmetric.MetricTypeExponentialHistogram: 1,
	}, kinds)
}

func TestForeignItemsAreUnknown(t *testing.T) {
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetEmptySummary().DataPoints().AppendEmpty()
	body, err := new(pmetric.ProtoMarshaler).MarshalMetrics(md)
	require.NoError(t, err)
	require.NoError(t, newSet(t, Metrics, 1).Items(body, func(item Item) { assert.Equal(t, Unknown, item.Number) }))
}

func TestBrokenBytesAreRefused(t *testing.T) {
	for _, signal := range Signals {
		s := newSet(t, signal, 3)
		body := s.AppendRequest(nil, 0)
		require.Error(t, s.Numbers(body[:len(body)-1], func(uint64) {}))
		require.Error(t, s.Items(body[:len(body)-1], func(Item) {}))
	}
}

func TestSizesAndSignalsAreChecked(t *testing.T) {
	_, err := NewSet("profiles", 1, 1)
	require.ErrorContains(t, err, "`signal` must be one of [traces metrics logs], found \"profiles\"")
	_, err = NewSet(Traces, 0, 1)
	require.ErrorContains(t, err, "found 0")
	_, err = NewSet(Traces, MaxItemsPerRequest+1, 1)
	require.Error(t, err)
}

// TestItemsCompressLikeRealTelemetry holds the generated items near public suites': some 460 to 810 bytes a span and 360 a log record,
// and 19 to 26 bytes a log record under gzip in requests of 1,000. Random identities cost a span 32 bytes that nothing compresses.
func TestItemsCompressLikeRealTelemetry(t *testing.T) {
	const n = 1000
	limits := map[Signal]struct{ raw, zstd, gzip [2]int }{
		Traces:  {raw: [2]int{440, 600}, zstd: [2]int{45, 85}, gzip: [2]int{45, 90}},
		Metrics: {raw: [2]int{150, 450}, zstd: [2]int{15, 60}, gzip: [2]int{15, 60}},
		Logs:    {raw: [2]int{300, 420}, zstd: [2]int{14, 30}, gzip: [2]int{18, 32}},
	}
	for _, signal := range Signals {
		body := newSet(t, signal, n).AppendRequest(nil, 1)
		encoder, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		var gz bytes.Buffer
		w := gzip.NewWriter(&gz)
		_, err = w.Write(body)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		raw, zs, g := len(body)/n, len(encoder.EncodeAll(body, nil))/n, gz.Len()/n
		t.Logf("%s: %d bytes an item, zstd %d, gzip %d", signal, raw, zs, g)
		want := limits[signal]
		assert.True(t, raw >= want.raw[0] && raw <= want.raw[1], "%s raw %d", signal, raw)
		assert.True(t, zs >= want.zstd[0] && zs <= want.zstd[1], "%s zstd %d", signal, zs)
		assert.True(t, g >= want.gzip[0] && g <= want.gzip[1], "%s gzip %d", signal, g)
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	for _, signal := range Signals {
		b.Run(string(signal), func(b *testing.B) {
			s := newSet(b, signal, 100)
			buf := s.AppendRequest(nil, 0)
			b.SetBytes(int64(len(buf)))
			var seq uint64
			for b.Loop() {
				seq++
				buf = s.AppendRequest(buf[:0], seq)
			}
		})
	}
}

func BenchmarkNumbers(b *testing.B) {
	for _, signal := range Signals {
		b.Run(string(signal), func(b *testing.B) {
			s := newSet(b, signal, 100)
			body := s.AppendRequest(nil, 1)
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := s.Numbers(body, func(uint64) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzNumbers(f *testing.F) {
	for _, signal := range Signals {
		f.Add(newSet(f, signal, 2).AppendRequest(nil, 1))
	}
	sets := []*Set{newSet(f, Traces, 2), newSet(f, Metrics, 2), newSet(f, Logs, 2)}
	f.Fuzz(func(_ *testing.T, body []byte) {
		for _, s := range sets {
			_ = s.Numbers(body, func(uint64) {})
			_ = s.Items(body, func(Item) {})
		}
	})
}

// A window that spans ten requests must find hardly more to repeat in them than one that spans little more than one.
func TestABatchIsNotSmallerBecauseRequestsComeAgain(t *testing.T) {
	for _, signal := range Signals {
		s := newSet(t, signal, 100)
		var batch []byte
		for seq := range uint64(80) {
			batch = s.AppendRequest(batch, seq)
		}
		size := func(window int) float64 {
			enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(window))
			require.NoError(t, err)
			return float64(len(enc.EncodeAll(batch, nil)))
		}
		assert.Greater(t, size(512<<10), 0.93*size(64<<10), signal)
	}
}
