package report

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// What a reader needs to judge a figure stands beside it: bytes, what an acknowledgement means, what was the limit, what went wrong.
func TestTablesSayWhatTheFiguresAreWorth(t *testing.T) {
	pinned := func(limiter string, collector, driver float64) result.Measurement {
		return result.Measurement{
			CPUPerMillion: 1, WireBytesPerItem: 66.6, Throughput: 1000, Limiter: limiter, CPUCores: collector, DriverCores: driver,
			Counts: ledger.Counts{Sent: 50, Acknowledged: 47, Received: 49, Lost: 1, Duplicates: 2, Refused: 3},
			Errors: map[string]uint64{"Unavailable": 4, "a": 2, "b": 1, "post http://127.0.0.1:1/v1/traces: connection | refused": 3},
		}
	}
	bad := pinned("driver", 0.5, 0.95)
	bad.Behind, bad.Broken, bad.WireBytesPerItem = true, []string{"too much"}, 74
	long := pinned("neither", 0.5, 0.25)
	long.Seconds, long.MemoryGrowth = 600, 1.0234
	r := &result.Report{Command: "testbed run a\ntestbed run b", Skipped: []string{"a: nginx is not there"}, Interrupted: true, Cases: []result.Case{{
		ID: "a", Pinned: true, Baseline: "x", Contenders: []result.Contender{
			{Name: "x", Title: "ex", Durability: "on disk", Rounds: []result.Measurement{pinned("neither", 0.67, 0.82), pinned("collector", 0.95, 0.82)}},
			{Name: "y", Title: "why", Durability: "none", Rounds: []result.Measurement{long}},
			{Name: "z", Title: "zet", Durability: "none", Ours: true, Rounds: []result.Measurement{bad, {Fault: "ended | by itself\nlast words"}}},
		},
	}}}
	r.Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r.Until = r.Time.Add(time.Hour)
	var b bytes.Buffer
	require.NoError(t, Markdown(&b, "T", r))
	for _, want := range []string{
		"- 2026-01-02 03:04:05 UTC to 2026-01-02 04:04:05 UTC, ", "- `testbed run a`\n- `testbed run b`\n", "left out: a: nginx is not there", "the run was interrupted", "Collector and driver have one processor each",
		"| ex | 1.00 |  | 0.00 | 66.6 |", "| busy: Collector 81 %, driver 82 %; failed attempts: Unavailable 8, post http://127.0.0.1:1/v1/traces: conne 6, a 4, others; limited by the collector |", "| ex | on disk |", "| 100 | 94 | 98 | 2 | 4 | 6 |",
		"Latency is that of acknowledged requests only",
		"| busy: Collector 50 %, driver 25 %; failed attempts: Unavailable 4, post http://127.0.0.1:1/v1/traces: conne 3, a 2, others; limited by what the clients wait for; memory of the last quarter: 1.02 of the second's; not the first's durability |",
		"| busy: Collector 50 %, driver 95 %; failed attempts: Unavailable 4, post http://127.0.0.1:1/v1/traces: conne 3, a 2, others; fault: ended / by itself; limited by the driver; limits broken; not the first's bytes: 1.11; not the first's durability; the generator fell behind its rate |",
		"## Limits that did not hold\n\n- a, z, round 1: too much\n- a, z, round 2: ended | by itself",
	} {
		assert.Contains(t, b.String(), want)
	}
}
