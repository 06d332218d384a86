package runner

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/generator"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/netproxy"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/sink"
)

// quick is a scenario of half a second.
func quick(change func(*scenario.Scenario)) []scenario.Case {
	s := scenario.Default()
	s.Name, s.Contenders, s.CheckContent, s.Drain = "quick", []string{"relay"}, true, 5*time.Second
	s.Load.Mode, s.Load.Rate, s.Load.Clients, s.Load.Connections = generator.Open, 5000, 8, 2
	s.Load.Warmup, s.Load.Duration = 100*time.Millisecond, 400*time.Millisecond
	s.Load.Retry.Initial, s.Load.Retry.Max = 10*time.Millisecond, 50*time.Millisecond
	if change != nil {
		change(&s)
	}
	return s.Cases()
}

func run(t *testing.T, r *Runner, cases []scenario.Case) *result.Report {
	t.Helper()
	report, err := r.Run(t.Context(), cases)
	require.NoError(t, err)
	return report
}

func only(t *testing.T, report *result.Report) result.Measurement {
	t.Helper()
	require.Len(t, report.Cases, 1)
	require.Len(t, report.Cases[0].Contenders, 1)
	require.Len(t, report.Cases[0].Contenders[0].Rounds, 1)
	return report.Cases[0].Contenders[0].Rounds[0]
}

// progress counts what it is told.
type progress struct {
	begun   []string
	samples atomic.Int64
}

func (p *progress) Begin(_, contender string, _ int)            { p.begun = append(p.begun, contender) }
func (p *progress) Sample(_ float64, _ uint64, _ time.Duration) { p.samples.Add(1) }

// interruption ends a run as soon as something has arrived.
type interruption func()

func (interruption) Begin(_, _ string, _ int) {}

func (end interruption) Sample(rate float64, _ uint64, _ time.Duration) {
	if rate > 0 {
		end()
	}
}

func TestARunMeasuresAProcess(t *testing.T) {
	r, p := newRunner(t), &progress{}
	r.Progress = p
	m := only(t, run(t, r, quick(nil)))
	assert.Empty(t, m.Fault)
	assert.Empty(t, m.Broken)
	sent := m.Counts.Sent
	// A busy machine falls behind, and sends less or for longer.
	assert.InDelta(t, 1500, float64(sent), 1300)
	assert.Equal(t, ledger.Counts{Sent: sent, Acknowledged: sent, Received: sent}, m.Counts)
	assert.InDelta(t, 1, m.Seconds, 0.61)
	assert.InDelta(t, 3000, m.Throughput, 2800)
	assert.Greater(t, m.WireBytesPerItem, 400.0)
	assert.InDelta(t, 100, m.ItemsPerExport, 1)
	assert.Greater(t, m.PeakRSS, m.PeakAnonymous)
	assert.Positive(t, m.PeakAnonymous)
	assert.Positive(t, m.Latency.P50)
	assert.Positive(t, m.DriverCPUPerMillion)
	assert.NotEmpty(t, m.Series)
	assert.Equal(t, "neither", m.Limiter)
	assert.Equal(t, []string{"relay"}, p.begun)
	assert.Positive(t, p.samples.Load())
	_, err := os.Stat(r.Dir)
	require.NoError(t, err, "configuration and log stay")
}

func TestContendersTakeTurns(t *testing.T) {
	r, p := newRunner(t), &progress{}
	r.Progress = p
	report := run(t, r, quick(func(s *scenario.Scenario) { s.Contenders, s.Rounds = []string{"direct", "relay", "absent"}, 2 }))
	assert.Equal(t, []string{"direct", "relay", "relay", "direct"}, p.begun)
	require.Len(t, report.Skipped, 1)
	assert.Contains(t, report.Skipped[0], "contender absent")
	c := report.Cases[0]
	assert.Equal(t, "direct", c.Baseline)
	assert.Len(t, c.Contenders[1].Rounds, 2)
	assert.Zero(t, c.Contenders[0].Rounds[0].PeakRSS, "without a process there is nothing to measure")
}

func TestHTTPGoesToItsOwnPort(t *testing.T) {
	for _, contender := range []string{"direct"} {
		m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) { s.Contenders, s.Protocol = []string{contender}, generator.HTTP })))
		assert.Equal(t, m.Counts.Sent, m.Counts.Acknowledged)
	}
	// The relay listens on the gRPC port only, so that nobody answers on the other.
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Contenders, s.Protocol, s.Load.Retry.MaxElapsed = []string{"relay-http"}, generator.HTTP, 0
	})))
	assert.Equal(t, m.Counts.Sent, m.Counts.Refused)
}

func TestTheNetworkIsBeforeTheBackendOfBothProtocols(t *testing.T) {
	for _, protocol := range []string{generator.GRPC, generator.HTTP} {
		m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
			s.Contenders, s.Protocol, s.Load.Mode = []string{"direct"}, protocol, generator.Closed
			s.Network = []netproxy.Phase{{Delay: 30 * time.Millisecond}}
		})))
		assert.Greater(t, m.Latency.P50, 60*time.Millisecond, protocol)
	}
}

func TestFaultsOfTheNetworkAndEventsAreSurvived(t *testing.T) {
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Network = []netproxy.Phase{{At: 50 * time.Millisecond, Cut: true}}
		s.Backend = []sink.Phase{{FailRatio: 0.2, FailCode: "UNAVAILABLE"}}
		s.Events = []scenario.Event{
			{At: 100 * time.Millisecond, Action: scenario.Reload}, {At: 150 * time.Millisecond, Action: scenario.Kill},
			{At: 250 * time.Millisecond, Action: scenario.Restart},
		}
	})))
	assert.Empty(t, m.Fault)
	assert.Positive(t, m.Failures)
	assert.Equal(t, m.Counts.Sent, m.Counts.Acknowledged)
	assert.Zero(t, m.Counts.Lost)
}

func TestAnEventThatDoesNotHappenIsAFault(t *testing.T) {
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Events = []scenario.Event{{At: time.Hour, Action: scenario.Kill}}
	})))
	assert.Equal(t, "kill: the load ended before it", m.Fault)
}

func TestAnInterruptedRunGivesWhatItMeasured(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := newRunner(t)
	r.Progress = interruption(cancel)
	report, err := r.Run(ctx, quick(func(s *scenario.Scenario) { s.Load.Duration, s.Rounds = time.Hour, 3 }))
	require.NoError(t, err)
	assert.True(t, report.Interrupted)
	assert.Positive(t, only(t, report).Counts.Received)
}

func TestACollectorThatDiesEndsItsTrial(t *testing.T) {
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Contenders, s.Load.Duration, s.Load.Retry.MaxElapsed = []string{"dying"}, time.Hour, time.Hour
	})))
	assert.Contains(t, m.Fault, "the Collector ended by itself")
	assert.Contains(t, m.Fault, "nothing is left to give", "its last words")
}

func TestWhatCannotStartIsAFault(t *testing.T) {
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) { s.Contenders = []string{"broken"} })))
	assert.Contains(t, m.Fault, "read the configuration")
	_, err := newRunner(t).Run(t.Context(), quick(func(s *scenario.Scenario) { s.Contenders = []string{"who"} }))
	require.ErrorContains(t, err, `no contender is called "who"`)
}

func TestOursThatIsAbsentHoldsNoLimit(t *testing.T) {
	r := newRunner(t)
	report := run(t, r, quick(func(s *scenario.Scenario) { s.Contenders = []string{"absent"} }))
	assert.Empty(t, report.Cases)
	require.Len(t, report.Broken(), 1)
	assert.Contains(t, report.Broken()[0], "quick, absent: did not run, so that its limits were not held: contender absent: ")

	theirs := r.Contenders["absent"]
	theirs.Ours = false
	r.Contenders["absent"] = theirs
	assert.Empty(t, run(t, r, quick(func(s *scenario.Scenario) { s.Contenders = []string{"absent", "direct"} })).Broken())
}

func TestADiskOfItsOwnIsFullOrLeftOut(t *testing.T) {
	report := run(t, newRunner(t), quick(func(s *scenario.Scenario) { s.DiskMiB = 1 }))
	if len(report.Skipped) > 0 {
		assert.Contains(t, report.Skipped[0], "a disk of limited size needs")
		return
	}
	assert.Equal(t, "0 % of the disk were used at most: it was never full", only(t, report).Fault)
}

// processors notes what this process may run on during a run.
type processors struct{ list string }

func (p *processors) Begin(_, _ string, _ int) {}

func (p *processors) Sample(_ float64, _ uint64, _ time.Duration) { p.list = allowedProcessors() }

func allowedProcessors() string {
	status, _ := os.ReadFile("/proc/self/status")
	_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:\t")
	list, _, _ = strings.Cut(list, "\n")
	return list
}

func TestAPinnedRunNamesItsLimiter(t *testing.T) {
	before := allowedProcessors()
	r, seen := newRunner(t), &processors{}
	r.Progress = seen
	report := run(t, r, quick(func(s *scenario.Scenario) {
		s.Pin, s.CheckContent, s.Load.Mode, s.Load.Pattern.Kind = true, false, generator.Closed, ""
		s.Contenders = []string{"relay"}
	}))
	if len(report.Skipped) > 0 {
		assert.Contains(t, report.Skipped[0], "a processor each")
		return
	}
	m := only(t, report)
	assert.Empty(t, m.Fault)
	assert.Equal(t, "1", seen.list, "the Collector's processor is not the driver's")
	assert.Equal(t, before, allowedProcessors())
	assert.True(t, report.Cases[0].Pinned)
	assert.Contains(t, []string{"driver", "collector", "neither"}, m.Limiter)
}

func TestABuildThatWastesBreaksItsLimits(t *testing.T) {
	report := run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Contenders, s.CheckContent = []string{"relay", "wasteful"}, false
		s.Load.Mode = generator.Closed // so that the relay has something to do that can be measured in hundredths of a second
		s.Limits = scenario.Limits{AnonymousMiB: 60, CPUCores: 0.01, CPURatio: 1.1, MemoryRatio: 1.1}
	}))
	c := report.Cases[0]
	assert.Len(t, c.Contenders[0].Rounds, 1)
	broken := c.Contenders[1].Rounds[0].Broken
	require.Len(t, broken, 4)
	for i, limit := range []string{"peak anonymous memory in MiB: ", "mean use of processors: ", "CPU against relay: ", "peak anonymous against relay: "} {
		assert.Contains(t, broken[i], limit)
	}
	assert.Subset(t, report.Broken(), []string{"quick, wasteful, round 1: " + broken[0]})
}

func TestALimitThatCannotBeJudgedIsBroken(t *testing.T) {
	ratio := func(s *scenario.Scenario) { s.Limits.CPURatio = 1 }
	report := run(t, newRunner(t), quick(func(s *scenario.Scenario) { s.Contenders = []string{"absent", "relay"}; ratio(s) }))
	m := report.Cases[0].Contenders[0].Rounds[0]
	assert.Equal(t, []string{"the limits are shares of what absent takes, which did not run"}, m.Broken)
	assert.NotEmpty(t, report.Skipped)

	report = run(t, newRunner(t), quick(func(s *scenario.Scenario) { s.Contenders = []string{"broken", "relay"}; ratio(s) }))
	assert.Equal(t, []string{"CPU against broken: cannot be told"}, report.Cases[0].Contenders[1].Rounds[0].Broken)

	report = run(t, newRunner(t), quick(ratio))
	assert.Equal(t, []string{"the limits are shares of what another contender takes, which must come first"}, only(t, report).Broken)
}

func TestAGeneratorThatFallsBehindSaysSo(t *testing.T) {
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Contenders, s.Load.Clients, s.Load.Connections = []string{"direct"}, 1, 1
		s.Backend = []sink.Phase{{Latency: 100 * time.Millisecond}}
	})))
	assert.True(t, m.Behind)
	assert.Greater(t, m.LagP99, 100*time.Millisecond)
}

// The backend of these three spoils one item in a million.
func TestOneDroppedItemInAMillionIsCaught(t *testing.T) {
	m := tampered(t, false, func(items []payload.Item) []payload.Item { return items[1:] })
	assert.EqualValues(t, 1, m.Counts.Lost)
	assert.Equal(t, []string{"1 acknowledged items never arrived"}, m.Broken)
}

func TestOneDuplicateInAMillionIsCaught(t *testing.T) {
	m := tampered(t, false, func(items []payload.Item) []payload.Item { return append(items, items[0]) })
	assert.EqualValues(t, 1, m.Counts.Duplicates)
	require.Len(t, m.Broken, 1)
	assert.Contains(t, m.Broken[0], "arrived more than once")
}

func TestOneCorruptedItemInAMillionIsCaught(t *testing.T) {
	m := tampered(t, true, func(items []payload.Item) []payload.Item {
		items[3].Checksum++
		items[4].TraceKept = false
		items[5].Number = payload.Unknown
		return items
	})
	assert.EqualValues(t, 1, m.Counts.Corrupted)
	assert.EqualValues(t, 1, m.Counts.TraceLost)
	assert.EqualValues(t, 1, m.Counts.Unknown)
	assert.Len(t, m.Broken, 4, "the item whose number was changed is lost as well: %v", m.Broken)
}

// tampered sends until a million items (fewer with -short) were noted, one of which the backend spoils.
func tampered(t *testing.T, content bool, spoil func([]payload.Item) []payload.Item) result.Measurement {
	t.Helper()
	want := int64(1_000_000)
	if testing.Short() {
		want /= 20
	}
	var noted atomic.Int64
	ctx, enough := context.WithTimeout(t.Context(), time.Minute)
	defer enough()
	r := newRunner(t)
	r.tamper = func(items []payload.Item) []payload.Item {
		before := noted.Add(int64(len(items))) - int64(len(items))
		if before <= want/2 && want/2 < before+int64(len(items)) {
			items = spoil(items)
		}
		return items
	}
	none := 0.0
	cases := quick(func(s *scenario.Scenario) {
		s.Contenders, s.Drain, s.Load.Mode, s.Load.Clients = []string{"direct"}, 0, generator.Closed, 16
		s.ItemsPerRequest, s.CheckContent = 500, content
		s.Limits.Duplicates = &none
	})
	// Rounds are added until enough has arrived: how many a second are noted depends on the machine.
	var spoiled result.Measurement
	for ctx.Err() == nil && noted.Load() < want {
		if m := only(t, run(t, r, cases)); len(m.Broken) > 0 {
			spoiled = m
		}
	}
	return spoiled
}
