package wire

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/testdata"
	"google.golang.org/grpc/mem"
)

// seeds are requests of every shape that pdata's own test data has, and hand-made ones.
func seeds(signal Signal) [][]byte {
	var list [][]byte
	add := func(r *Request, err error) {
		if err != nil {
			panic(err)
		}
		list = append(list, r.AppendTo(nil))
	}
	for _, n := range []int{0, 1, 3, 12} {
		switch signal {
		case Traces:
			add(FromTraces(testdata.GenerateTraces(n), mem.NopBufferPool{}))
		case Metrics:
			add(FromMetrics(testdata.GenerateMetrics(n), mem.NopBufferPool{}))
		case Logs:
			add(FromLogs(testdata.GenerateLogs(n), mem.NopBufferPool{}))
		}
	}
	for _, h := range handmade {
		list = append(list, h.data)
	}
	return list
}

// fuzzCheck holds Check against pdata: the same verdict, the same number of items, whole and in frames.
func fuzzCheck(f *testing.F, signal Signal) {
	for _, s := range seeds(signal) {
		f.Add(s, uint8(0))
		f.Add(s, uint8(1))
		f.Add(s, uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, frame uint8) {
		want, pdataErr := unmarshal(signal, data)
		for _, n := range []int{0, int(frame)} {
			r, err := Check(signal, frames(data, n))
			if pdataErr != nil {
				require.Error(t, err, "pdata says: %v", pdataErr)
				var syntax *SyntaxError
				require.ErrorAs(t, err, &syntax)
				require.Less(t, syntax.Offset, len(data))
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want.items(), r.Items())
			require.Equal(t, len(data), r.Bytes())
			if !r.Irregular() {
				require.True(t, conformant(data, msgTracesRequest+message(signal)))
			}
		}
	})
}

func FuzzCheckTracesAgainstPdata(f *testing.F)  { fuzzCheck(f, Traces) }
func FuzzCheckMetricsAgainstPdata(f *testing.F) { fuzzCheck(f, Metrics) }
func FuzzCheckLogsAgainstPdata(f *testing.F)    { fuzzCheck(f, Logs) }

// FuzzSplitJoin joins two requests, splits, joins the pieces in another order and splits again: the items stay.
func FuzzSplitJoin(f *testing.F) {
	for _, signal := range []Signal{Traces, Metrics, Logs} {
		list := seeds(signal)
		for i, a := range list {
			f.Add(uint8(signal), a, list[(i+1)%len(list)], uint8(0), uint8(1), uint16(0))
			f.Add(uint8(signal), a, list[(i+3)%len(list)], uint8(5), uint8(0), uint16(100))
			f.Add(uint8(signal), list[(i+2)%len(list)], a, uint8(3), uint8(2), uint16(300))
		}
	}
	f.Fuzz(func(t *testing.T, sig uint8, a, b []byte, frame, maxItems uint8, maxBytes uint16) {
		signal := Signal(sig % 3)
		want := map[string]int{}
		var joined *Request
		for _, data := range [][]byte{a, b} {
			d, err := unmarshal(signal, data)
			if err != nil {
				return // malformed: FuzzCheck is about that
			}
			for k, n := range d.contents() {
				want[k] += n
			}
			r := mustCheck(t, signal, frames(data, int(frame)))
			if joined == nil {
				joined = r
			} else {
				joined.Append(r)
			}
		}
		require.Equal(t, 2, joined.Parts())
		pieces := splitAndCompare(t, joined, int(maxItems), int(maxBytes), want)
		again := pieces[len(pieces)-1]
		for _, p := range pieces[:len(pieces)-1] {
			again.Append(p)
		}
		splitAndCompare(t, again, int(maxItems/2), int(maxBytes*2), want)
	})
}

// splitAndCompare splits r and holds the pieces against the limits and the contents.
func splitAndCompare(t *testing.T, r *Request, maxItems, maxBytes int, want map[string]int) []*Request {
	items, whole, total := r.Items(), r.Bytes(), 0
	pieces, err := r.Split(maxItems, maxBytes, mem.NopBufferPool{})
	require.NoError(t, err)
	require.NotEmpty(t, pieces)
	for _, p := range pieces {
		total += p.Bytes()
	}
	require.LessOrEqual(t, total, 2*whole+FreeRepeats+framing*len(pieces))
	strict := total+whole <= FreeRepeats // no more can have been repeated, once more included, than is free
	got := map[string]int{}
	for _, p := range pieces {
		data := p.AppendTo(nil)
		require.Equal(t, p.Bytes(), len(data))
		checked := mustCheck(t, p.Signal(), mem.BufferSlice{mem.SliceBuffer(data)})
		require.Equal(t, p.Items(), checked.Items())
		d, err := decode(p)
		require.NoError(t, err)
		maps.Copy(got, merge(got, d.contents()))
		if strict && maxItems > 0 {
			require.LessOrEqual(t, p.Items(), maxItems)
		}
		if strict && maxBytes > 0 && p.Items() > 1 {
			require.LessOrEqual(t, p.Bytes(), maxBytes)
		}
		sumItems, sumBytes := 0, 0
		for _, part := range p.ownParts() {
			sumItems += part.items
			sumBytes += part.bytes
		}
		require.Equal(t, p.Items(), sumItems)
		require.Equal(t, p.Bytes(), sumBytes)
		items -= p.Items()
	}
	require.Zero(t, items)
	require.Equal(t, want, got)
	return pieces
}

func merge(a, b map[string]int) map[string]int {
	sum := maps.Clone(a)
	for k, n := range b {
		sum[k] += n
	}
	return sum
}
