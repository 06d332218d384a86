package runner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

// judged has a run of ours judged against a stock one.
func judged(m result.Measurement, limits scenario.Limits) []string {
	c := result.Case{Baseline: "stock", Contenders: []result.Contender{
		{Name: "stock", Rounds: []result.Measurement{{CPUPerMillion: 10, DriverCPUPerMillion: 3.3, PeakAnonymous: 100 * mib, Counts: ledger.Counts{Lost: 9}}}},
		{Name: "ours", Ours: true, Rounds: []result.Measurement{m}},
	}}
	judge(&c, "stock", &limits)
	if len(c.Contenders[0].Rounds[0].Broken) > 0 {
		return []string{"the stock Collector was judged"}
	}
	return c.Contenders[1].Rounds[0].Broken
}

func TestLimitsHoldOrAreNamed(t *testing.T) {
	share := 0.01
	limits := scenario.Limits{
		Duplicates: &share, AnonymousMiB: 100, RSSMiB: 200, MemoryGrowth: 1.1, CPUCores: 1, P99: time.Second, Throughput: 1000, AcknowledgedRatio: 0.9,
		CPURatio: 0.85, MemoryRatio: 0.7, DriverRatio: 0.34,
	}
	good := result.Measurement{
		CPUPerMillion: 8, PeakAnonymous: 70 * mib, PeakRSS: 150 * mib, Seconds: 1, MemoryGrowth: 1.1, CPUCores: 0.5, Throughput: 1000,
		Latency: result.Latency{P99: time.Second}, Counts: ledger.Counts{Sent: 100, Acknowledged: 95, Duplicates: 1},
	}
	assert.Empty(t, judged(good, limits))
	limits.DriverRatio = 0.32
	bad := result.Measurement{
		CPUPerMillion: 9, PeakAnonymous: 101 * mib, PeakRSS: 201 * mib, Seconds: 1, MemoryGrowth: 1.2, CPUCores: 1.1, Throughput: 999,
		Latency: result.Latency{P99: 1100 * time.Millisecond},
		Counts:  ledger.Counts{Sent: 100, Acknowledged: 80, Duplicates: 2, Lost: 1, Unknown: 2, Corrupted: 3, TraceLost: 4, Malformed: 5},
	}
	assert.Equal(t, []string{
		"1 acknowledged items never arrived", "2 items arrived that were never sent", "3 items arrived changed",
		"4 spans lost their trace or parent", "5 requests could not be decoded",
		"0.0200 of the items arrived more than once, at most 0.01 may",
		"peak anonymous memory in MiB: 101, at most 100", "peak RSS in MiB: 201, at most 200",
		"anonymous memory of the last quarter against the second: 1.2, at most 1.1", "mean use of processors: 1.1, at most 1",
		"P99 in seconds: 1.1, at most 1", "throughput in items/s: 999, at least 1000", "share of items acknowledged: 0.8, at least 0.9",
		"CPU against stock: 0.900, at most 0.850", "peak anonymous against stock: 1.010, at most 0.700",
		"driver's CPU against stock: 0.330, at most 0.320",
	}, judged(bad, limits))
}

func TestALatencyOfALowerLoadKeepsNoLimit(t *testing.T) {
	behind := result.Measurement{Behind: true, Latency: result.Latency{P99: time.Millisecond}, Counts: ledger.Counts{Sent: 1, Acknowledged: 1}}
	assert.Empty(t, judged(behind, scenario.Limits{}))
	assert.Equal(t, []string{"the generator fell behind its rate: the latencies are those of a lower load"}, judged(behind, scenario.Limits{P99: time.Second}))
}

func TestWithoutLimitsOnlyCorrectnessCounts(t *testing.T) {
	bad := result.Measurement{CPUPerMillion: 1000, Counts: ledger.Counts{Sent: 10, Acknowledged: 1, Duplicates: 10, Lost: 1}}
	assert.Equal(t, []string{"1 acknowledged items never arrived"}, judged(bad, scenario.Limits{}))
	assert.Empty(t, judged(bad, scenario.Limits{LossAllowed: true}))
}

func TestALimitWithoutItsFigureIsBroken(t *testing.T) {
	limits := scenario.Limits{AnonymousMiB: 1, RSSMiB: 1, MemoryGrowth: 1, CPUCores: 1, P99: time.Second}
	acknowledged := result.Measurement{Counts: ledger.Counts{Sent: 1, Acknowledged: 1}}
	assert.Equal(t, []string{
		"peak anonymous memory in MiB: cannot be told", "peak RSS in MiB: cannot be told",
		"anonymous memory of the last quarter against the second: cannot be told", "mean use of processors: cannot be told",
		"P99 in seconds: cannot be told",
	}, judged(acknowledged, limits))
	assert.Empty(t, judged(acknowledged, scenario.Limits{}))
	idle := acknowledged
	idle.Seconds, idle.PeakRSS = 8, 1
	assert.Empty(t, judged(idle, scenario.Limits{CPUCores: 1}), "less than the kernel counts")
	assert.Empty(t, judged(result.Measurement{Fault: "did not start"}, limits), "the fault is reported, and says more")
}

func TestACollectorThatDeliversNothingIsNotGood(t *testing.T) {
	nothing := []string{"nothing was acknowledged"}
	assert.Equal(t, nothing, judged(result.Measurement{Counts: ledger.Counts{Sent: 10, Refused: 10}}, scenario.Limits{}))
	assert.Equal(t, nothing, judged(result.Measurement{}, scenario.Limits{AcknowledgedRatio: 0.5}))
	assert.Equal(t, nothing, judged(result.Measurement{Fault: "ended", Counts: ledger.Counts{Sent: 10}}, scenario.Limits{}))
}
