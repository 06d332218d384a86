package report

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchproc"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// What benchstat is made of must read every line and find every figure and the contender, by which it sets columns.
func TestBenchstatReadsTheBenchmarkLines(t *testing.T) {
	m := result.Measurement{
		Counts: ledger.Counts{Received: 123_456_700, Lost: 1, Duplicates: 2}, CPUPerMillion: 1.234567, WireBytesPerItem: 476.7,
		Throughput: 1.5e6, PeakAnonymous: 100 << 20, PeakRSS: 160 << 20,
		Latency: result.Latency{P50: time.Millisecond, P95: 2 * time.Millisecond, P99: 3 * time.Millisecond, Max: 4 * time.Second},
	}
	var b bytes.Buffer
	require.NoError(t, Benchmark(&b, &result.Report{
		Machine: result.Machine{CPU: "A: CPU, 2.0 GHz"},
		Cases: []result.Case{{ID: "cpu per-item/traces/items=100/none", Contenders: []result.Contender{
			{Name: "stock-batch", Rounds: []result.Measurement{m, m}},
			{Name: "ours", Rounds: []result.Measurement{m, {Fault: "ended"}, {}}},
		}}},
	}))
	filter, err := benchproc.NewFilter("*")
	require.NoError(t, err)
	var parser benchproc.ProjectionParser
	contender, err := parser.Parse("/contender", filter)
	require.NoError(t, err)
	items, err := parser.Parse("/items", filter)
	require.NoError(t, err)

	var found []string
	for reader := benchfmt.NewReader(&b, "benchmark.txt"); reader.Scan(); {
		line, ok := reader.Result().(*benchfmt.Result)
		require.True(t, ok, "%v", reader.Result())
		found = append(found, contender.Project(line).String())
		assert.Equal(t, "items:100", "items:"+items.Project(line).Get(items.Fields()[0]))
		assert.Equal(t, "A: CPU, 2.0 GHz", line.GetConfig("cpu"))
		assert.Equal(t, 123_456_700, line.Iters)
		for unit, want := range map[string]float64{
			"cpu-s/Mitem": 1.23457, "wire-B/item": 476.7, "anon-B": 100 << 20, "rss-B": 160 << 20, "items/s": 1.5e6,
			"p50-sec": 1e-3, "p95-sec": 2e-3, "p99-sec": 3e-3, "max-sec": 4, "lost": 1, "duplicates": 2,
		} {
			got, ok := line.Value(unit)
			assert.True(t, ok, unit)
			assert.InEpsilon(t, want, got, 1e-5, unit)
		}
	}
	assert.Equal(t, []string{"/contender:stock-batch", "/contender:stock-batch", "/contender:ours"}, found, "rounds without a figure have no line")
}
