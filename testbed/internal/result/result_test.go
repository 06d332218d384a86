package result

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
)

func cpu(values ...float64) Contender {
	c := Contender{Name: "c"}
	for _, v := range values {
		c.Rounds = append(c.Rounds, Measurement{CPUPerMillion: v})
	}
	return c
}

func TestASpreadIsMedianAndRange(t *testing.T) {
	assert.Equal(t, Spread{Median: 2, Min: 1, Max: 9}, SpreadOf([]float64{9, 1, 2}))
	assert.Equal(t, Spread{Median: 2.5, Min: 1, Max: 4}, SpreadOf([]float64{4, 3, 2, 1}))
	assert.Equal(t, Spread{Median: 1, Min: 1, Max: 1}, SpreadOf([]float64{math.NaN(), math.Inf(1), 1}))
	assert.Zero(t, SpreadOf(nil))
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	own, base := cpu(1, 20, 3), cpu(2, 10, 4)
	assert.Equal(t, Spread{Median: 0.75, Min: 0.5, Max: 2}, Ratio(&own, &base, CPU))
	base.Rounds[1].Fault = "ended"
	assert.Equal(t, Spread{Median: 0.625, Min: 0.5, Max: 0.75}, Ratio(&own, &base, CPU), "a round that failed has no ratio")
	assert.Equal(t, Spread{Median: 3, Min: 2, Max: 4}, base.Spread(CPU))
}

func TestAChangeCountsWhenItIsBeyondTheScatter(t *testing.T) {
	change := func(metric Metric, before, after Spread) *Change {
		return &Change{Metric: metric, Before: before, After: after}
	}
	steady, slower, scattered := Spread{10, 9, 11}, Spread{12, 11.5, 13}, Spread{12, 8, 20}
	assert.True(t, change(CPU, steady, slower).Worse(0.05))
	assert.False(t, change(CPU, steady, slower).Worse(0.25), "within the tolerance")
	assert.False(t, change(CPU, steady, scattered).Worse(0.05))
	assert.False(t, change(CPU, slower, steady).Worse(0.05), "less CPU is better")
	assert.True(t, change(Throughput, slower, steady).Worse(0.05))
	assert.False(t, change(Throughput, steady, slower).Worse(0.05))
	assert.True(t, change(Throughput, steady, slower).Better(0.05))
	assert.True(t, change(CPU, slower, steady).Better(0.05))
	assert.False(t, change(CPU, slower, steady).Better(0.25))
	assert.False(t, change(CPU, steady, scattered).Better(0.05))
}

func TestReportsAreComparedByCaseAndContender(t *testing.T) {
	report := func(id string, v float64) *Report {
		return &Report{Cases: []Case{{ID: id, Contenders: []Contender{cpu(v), {Name: "other"}}}}}
	}
	c := Compare(report("a", 2), report("a", 3))
	require.Len(t, c.Changes, 1)
	assert.InDelta(t, 1.5, c.Changes[0].Ratio(), 1e-9)
	assert.Equal(t, "a", c.Changes[0].Case)
	assert.Empty(t, c.OnlyAfter)
	assert.Equal(t, []string{"a, c"}, Compare(report("a", 2), &Report{Cases: []Case{{ID: "a", Contenders: []Contender{{Name: "c"}}}}}).OnlyBefore,
		"interrupted before it ran")
	assert.Equal(t, Comparison{OnlyBefore: []string{"a, c"}, OnlyAfter: []string{"b, c", "b, other"}},
		Compare(report("a", 2), report("b", 3)))
}

func TestWhatIsLostIsNeverNoise(t *testing.T) {
	report := func(rounds ...Measurement) *Report {
		return &Report{Cases: []Case{{ID: "a", Contenders: []Contender{{Name: "c", Rounds: rounds}}}}}
	}
	good, bad := Measurement{Counts: ledger.Counts{Lost: 1}}, Measurement{Fault: "ended", Counts: ledger.Counts{
		Lost: 2, Corrupted: 3, Unknown: 4, TraceLost: 5, Malformed: 6, Duplicates: 7,
	}}
	var all []string
	for _, f := range Compare(report(good, good), report(good, bad)).Faults {
		all = append(all, fmt.Sprintf("%s %s: %s %d %d", f.Case, f.Contender, f.What, f.Before, f.After))
	}
	assert.Equal(t, []string{
		"a c: acknowledged items lost 2 3", "a c: items changed 0 3", "a c: items from nowhere 0 4", "a c: spans without their trace or parent 0 5",
		"a c: requests that could not be decoded 0 6", "a c: runs that failed 0 1",
	}, all)
	assert.Empty(t, Compare(report(good, bad), report(good, good)).Faults, "fewer are none")
}

func TestFaultsCountForEachRound(t *testing.T) {
	report := func(rounds int, lost uint64) *Report {
		c := Contender{Name: "c", Rounds: make([]Measurement, rounds)}
		c.Rounds[0].Counts.Lost = lost
		return &Report{Cases: []Case{{ID: "a", Contenders: []Contender{c}}}}
	}
	assert.Empty(t, Compare(report(1, 1), report(3, 3)).Faults)
	assert.Equal(t, []Fault{{Case: "a", Contender: "c", What: "acknowledged items lost", Before: 3, After: 2, BeforeRounds: 3, AfterRounds: 1}},
		Compare(report(3, 3), report(1, 2)).Faults)
}

func TestSharesAreCompared(t *testing.T) {
	report := func(counts ...ledger.Counts) *Report {
		c := Contender{Name: "c"}
		for _, one := range counts {
			c.Rounds = append(c.Rounds, Measurement{Counts: one})
		}
		return &Report{Cases: []Case{{ID: "a", Contenders: []Contender{c}}}}
	}
	worse := func(before, after *Report) (names []string) {
		for _, change := range Compare(before, after).Changes {
			if change.Worse(0.05) {
				names = append(names, change.Metric.Name)
			}
			assert.False(t, change.Better(0.05))
		}
		return names
	}
	good := ledger.Counts{Sent: 1000, Acknowledged: 1000}
	bad := ledger.Counts{Sent: 1000, Acknowledged: 900, Refused: 100, Duplicates: 20}
	assert.Equal(t, []string{"not acknowledged", "duplicates"}, worse(report(good), report(bad)))
	assert.Empty(t, worse(report(good, bad), report(bad)), "as bad as a round before")
	hardly := ledger.Counts{Sent: 100_000, Acknowledged: 99_999, Duplicates: 1}
	assert.Empty(t, worse(report(good), report(hardly)))
	assert.Empty(t, worse(report(ledger.Counts{}), report(bad)), "nothing was sent that it could be a share of")
}

func TestLatencySummarizesAHistogram(t *testing.T) {
	assert.Zero(t, NewLatency(hdrhistogram.New(1, 1e6, 3)))
	h := hdrhistogram.New(1, 1e6, 3)
	for i := int64(1); i <= 1000; i++ {
		require.NoError(t, h.RecordValue(i))
	}
	require.NoError(t, h.RecordValue(100_000))
	l := NewLatency(h)
	assert.EqualValues(t, 1001, l.Requests)
	assert.InEpsilon(t, 501*time.Microsecond, l.P50, 0.01)
	assert.InEpsilon(t, 991*time.Microsecond, l.P99, 0.01)
	assert.InEpsilon(t, 100*time.Millisecond, l.Max, 0.01)
	assert.InEpsilon(t, 600*time.Microsecond, l.Mean, 0.01)
	assert.InDelta(t, 1.0/1001, l.Outliers, 1e-9)
	assert.Len(t, l.Curve, len(curvePercentiles))
}

func TestAReportIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	r := &Report{
		Time: time.Unix(0, 0).UTC(), Machine: ThisMachine(), Command: "c", Programs: map[string]string{"a": "b"}, Skipped: []string{"s"},
		Cases: []Case{{ID: "i", Contenders: []Contender{cpu(1, 2)}}},
	}
	require.NoError(t, r.Write(path))
	again, err := Read(path)
	require.NoError(t, err)
	assert.Equal(t, r, again)
	_, err = Read(path + "x")
	require.Error(t, err)
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	_, err = Read(path)
	require.ErrorContains(t, err, "r.json")
	require.Error(t, (&Report{Cases: []Case{{Contenders: []Contender{cpu(math.NaN())}}}}).Write(path), "JSON has no NaN")
}

func TestRunsOfOneMachineAndVersionAreOneReport(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }
	first := func() *Report {
		return &Report{Time: at(5), Machine: Machine{Kernel: "k"}, Command: "a", Programs: map[string]string{"p": "1"}, Cases: []Case{{ID: "a"}}}
	}
	second := &Report{
		Time: at(7), Machine: Machine{Kernel: "k"}, Command: "b", Programs: map[string]string{"p": "1", "q": "2"}, Cases: []Case{{ID: "b"}},
		Skipped: []string{"s"}, Unheld: []string{"u"}, Interrupted: true,
	}
	both := first()
	require.NoError(t, both.Add(second))
	assert.Equal(t, &Report{
		Time: at(5), Until: at(7), Machine: Machine{Kernel: "k"}, Command: "a\nb", Programs: map[string]string{"p": "1", "q": "2"},
		Cases: []Case{{ID: "a"}, {ID: "b"}}, Skipped: []string{"s"}, Unheld: []string{"u"}, Interrupted: true,
	}, both)
	earlier := first()
	require.NoError(t, earlier.Add(&Report{Time: at(1), Machine: Machine{Kernel: "k"}}))
	assert.Equal(t, []time.Time{at(1), at(5)}, []time.Time{earlier.Time, earlier.Until})

	require.ErrorContains(t, first().Add(&Report{Machine: Machine{Kernel: "other"}}), "the runs are of different machines: ")
	require.EqualError(t, first().Add(&Report{Machine: Machine{Kernel: "k"}, Programs: map[string]string{"p": "2"}}), "the runs are of different versions of p: 1, and 2")
}

func TestBrokenLimitsAndFaultsOfOursAreListed(t *testing.T) {
	ours := Contender{Name: "ours", Ours: true, Rounds: []Measurement{{Broken: []string{"too much"}}, {Fault: "ended"}}}
	theirs := Contender{Name: "theirs", Rounds: []Measurement{{Fault: "ended too"}}}
	r := Report{Cases: []Case{{ID: "case", Contenders: []Contender{ours, theirs}}}}
	assert.Equal(t, []string{"case, ours, round 1: too much", "case, ours, round 2: ended"}, r.Broken())
}

func TestTheMachineIsDescribed(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "1GiB")
	m := ThisMachine()
	assert.NotEmpty(t, m.CPU)
	assert.Positive(t, m.CPUs)
	assert.NotEmpty(t, m.Kernel)
	assert.Contains(t, m.GC, "GOMEMLIMIT=1GiB")
}

func TestTheBaselineIsFoundByName(t *testing.T) {
	c := Case{Baseline: "c", Contenders: []Contender{{Name: "a"}, cpu(1)}}
	assert.Equal(t, "c", c.BaselineContender().Name)
	c.Baseline = "gone"
	assert.Nil(t, c.BaselineContender())
}

func TestALeakIsSeenInTheQuarters(t *testing.T) {
	series := func(of func(i int) uint64) (all []Sample) {
		for i := range 40 {
			all = append(all, Sample{Anonymous: of(i)})
		}
		return all
	}
	warmsUp := func(i int) uint64 { return min(100, 20+10*uint64(i)) }
	assert.InDelta(t, 1, GrowthOf(series(warmsUp)), 1e-9)
	assert.InDelta(t, 345.0/145, GrowthOf(series(func(i int) uint64 { return 10 * uint64(i) })), 1e-9)
	assert.InDelta(t, 1, GrowthOf(series(func(i int) uint64 { return 100 * uint64(i%2) })), 1e-9, "between a kill and a start there is nothing")
	assert.Zero(t, GrowthOf(series(warmsUp)[:10]))
	assert.Zero(t, GrowthOf(series(func(int) uint64 { return 0 })), "without a process")
}
