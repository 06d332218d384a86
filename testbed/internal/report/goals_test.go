package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

const benchmarks = `goos: linux
pkg: example.com/exporter
BenchmarkThroughAdaptivebatch/none/1_spans-2   	  100	  10 ns/op	  200000 calls/cpu-s	  200000 spans/cpu-s	 5 B/op
BenchmarkThroughAdaptivebatch/none/1_spans-2   	  100	  10 ns/op	  220000 calls/cpu-s	  220000 spans/cpu-s	 5 B/op
BenchmarkThroughAdaptivebatch/none/1_spans-2   	  100	  10 ns/op	  230000 calls/cpu-s	  230000 spans/cpu-s	 5 B/op
BenchmarkThroughAdaptivebatch/none/500_spans-2 	  100	  10 ns/op	    2000 calls/cpu-s	 1000000 spans/cpu-s	 5 B/op
PASS
ok  	example.com/exporter	1.0s
`

func asked(id, compression string, contenders ...result.Contender) result.Case {
	return result.Case{ID: id, Signal: "traces", ItemsPerRequest: 100, Compression: compression, Baseline: "stock-batch", Contenders: contenders}
}

func one(name string, m result.Measurement) result.Contender {
	return result.Contender{Name: name, Title: "the " + name, Ours: strings.HasPrefix(name, "ours"), Rounds: []result.Measurement{m}}
}

func TestGoalsAreJudgedEachByItsOwnFigure(t *testing.T) {
	stock := one("stock-batch", result.Measurement{PeakAnonymous: 100 << 20, PeakRSS: 50e6, WireBytesPerItem: 100})
	good := result.Measurement{
		Latency: result.Latency{P99: 14 * time.Millisecond}, PeakRSS: 99e6, PeakAnonymous: 69 << 20, CPUCores: 0.049, WireBytesPerItem: 100,
	}
	bad := result.Measurement{
		Latency: result.Latency{P99: 16 * time.Millisecond}, PeakRSS: 101e6, PeakAnonymous: 71 << 20, CPUCores: 0.13, WireBytesPerItem: 100,
	}
	packed, loose := good, bad
	packed.WireBytesPerItem, loose.WireBytesPerItem = 34, 36
	var b bytes.Buffer
	require.NoError(t, Goals(&b, strings.NewReader(benchmarks), &result.Report{Command: "testbed run a", Cases: []result.Case{
		asked("resource-usage", "none", stock, one("ours", bad), one("ours-bytes", good)),
		asked("cpu-per-item/traces/items=100/none", "none", stock, one("ours", bad), one("ours-bytes", good)),
		asked("cpu-per-item/traces/items=100/gzip", "gzip", stock, one("ours", loose), one("ours-bytes", packed)),
	}}))
	for _, row := range []string{
		"| more than 210,000 calls of one span a second and core, in process | decoded | ThroughAdaptivebatch/none/1_spans | 220,000 (200,000 to 230,000) | yes |",
		"| decoded | ThroughAdaptivebatch/none/500_spans | 1.00 million | **no** |",
		"| P99 below 15 ms at 15,000 items a second | the ours | resource-usage | 16ms; the stock-batch: no figure | **no** |",
		"| the ours-bytes | resource-usage | 14ms; the stock-batch: no figure | yes |",
		"| there, less than 100 MB of resident memory | the ours | resource-usage | 101 MB; the stock-batch: 50 MB | **no** |",
		"| the ours-bytes | resource-usage | 99 MB; the stock-batch: 50 MB | yes |",
		"| there, less than 12 % of a core | the ours | resource-usage | 13.0 %; the stock-batch: no figure | **no** |",
		"| there, less than 5 % of a core on the byte path | the ours-bytes | resource-usage | 4.9 %; the stock-batch: no figure | yes |",
		"| 65 to 75 % less network | the ours | cpu-per-item/traces/items=100/gzip | 64 % less | **no** |",
		"| the ours-bytes | cpu-per-item/traces/items=100/gzip | 66 % less | yes |",
		"| 30 to 50 % less memory than the stock Collector | the ours | cpu-per-item/traces/items=100/none | 29 % less (29 to 29) | **no** |",
		"| the ours-bytes | cpu-per-item/traces/items=100/none | 31 % less (31 to 31) | yes |",
	} {
		assert.Contains(t, b.String(), row)
	}
	assert.NotContains(t, b.String(), "| the stock-batch |")

	require.ErrorContains(t, Goals(&b, strings.NewReader(""), &result.Report{}), "neither")
}

// A round that failed has measured nothing, which is less than any bound.
func TestWhatFailedReachesNoGoal(t *testing.T) {
	stock := one("stock-batch", result.Measurement{PeakAnonymous: 100 << 20, WireBytesPerItem: 100})
	plain := one("ours", result.Measurement{PeakAnonymous: 10 << 20, WireBytesPerItem: 100})
	failed := one("ours", result.Measurement{Fault: "ended by itself"})
	var b bytes.Buffer
	require.NoError(t, Goals(&b, strings.NewReader(""), &result.Report{Cases: []result.Case{
		asked("resource-usage", "none", stock, failed), asked("cpu-per-item/traces/items=100/none", "none", stock, plain),
		asked("cpu-per-item/traces/items=100/gzip", "gzip", stock, failed),
	}}))
	for _, row := range []string{
		"| P99 below 15 ms at 15,000 items a second | the ours | resource-usage | no figure; the stock-batch: no figure | **no** |",
		"| there, less than 100 MB of resident memory | the ours | resource-usage | no figure; the stock-batch: no figure | **no** |",
		"| there, less than 12 % of a core | the ours | resource-usage | no figure; the stock-batch: no figure | **no** |",
		"| 65 to 75 % less network | the ours | cpu-per-item/traces/items=100/gzip | no figure | **no** |",
		"| 30 to 50 % less memory than the stock Collector | the ours | cpu-per-item/traces/items=100/gzip | no figure | **no** |",
		"| 30 to 50 % less memory than the stock Collector | the ours | resource-usage | no figure | **no** |",
	} {
		assert.Contains(t, b.String(), row)
	}
	assert.Contains(t, b.String(), "## Limits that did not hold\n\n- resource-usage, ours, round 1: ended by itself\n")
	assert.Equal(t, 1, strings.Count(b.String(), "| yes |"), b.String())
}
