package runner

import (
	"fmt"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

const mib = 1 << 20

// judge notes what our contenders did not keep. The others are measured, not judged. first is the contender that ratios are to be taken
// against: without it, what is limited by them has not been held.
func judge(c *result.Case, first string, limits *scenario.Limits) {
	baseline := c.BaselineContender()
	for i := range c.Contenders {
		contender := &c.Contenders[i]
		if !contender.Ours {
			continue
		}
		for round := range contender.Rounds {
			m := &contender.Rounds[round]
			if m.Fault != "" && m.Counts.Sent == 0 {
				continue // it never began, which says enough
			}
			m.Broken = append(correctness(m, limits), bounds(m, limits)...)
		}
		if len(contender.Rounds) == 0 {
			continue
		}
		last := &contender.Rounds[len(contender.Rounds)-1]
		switch {
		case limits.CPURatio+limits.MemoryRatio+limits.DriverRatio == 0:
		case first != c.Baseline:
			last.Broken = append(last.Broken, fmt.Sprintf("the limits are shares of what %s takes, which did not run", first))
		case contender.Name == c.Baseline:
			last.Broken = append(last.Broken, "the limits are shares of what another contender takes, which must come first")
		default:
			last.Broken = append(last.Broken, ratios(contender, baseline, limits)...)
		}
	}
}

func correctness(m *result.Measurement, limits *scenario.Limits) (broken []string) {
	forbid := func(count uint64, what string) {
		if count > 0 {
			broken = append(broken, fmt.Sprintf("%d %s", count, what))
		}
	}
	if !limits.LossAllowed {
		forbid(m.Counts.Lost, "acknowledged items never arrived")
	}
	forbid(m.Counts.Unknown, "items arrived that were never sent")
	forbid(m.Counts.Corrupted, "items arrived changed")
	forbid(m.Counts.TraceLost, "spans lost their trace or parent")
	forbid(m.Counts.Malformed, "requests could not be decoded")
	if limits.Duplicates != nil && m.Counts.Sent > 0 {
		if share := float64(m.Counts.Duplicates) / float64(m.Counts.Sent); share > *limits.Duplicates {
			broken = append(broken, fmt.Sprintf("%.4f of the items arrived more than once, at most %v may", share, *limits.Duplicates))
		}
	}
	return broken
}

// bounds holds a limit broken whose figure is missing: nobody knows whether it was kept.
func bounds(m *result.Measurement, limits *scenario.Limits) (broken []string) {
	atMost := func(known bool, found, limit float64, what string) {
		switch {
		case limit == 0:
		case !known:
			broken = append(broken, what+": cannot be told")
		case found > limit:
			broken = append(broken, fmt.Sprintf("%s: %.4g, at most %.4g", what, found, limit))
		}
	}
	atLeast := func(found, limit float64, what string) {
		if found < limit {
			broken = append(broken, fmt.Sprintf("%s: %.4g, at least %.4g", what, found, limit))
		}
	}
	atMost(m.PeakAnonymous > 0, float64(m.PeakAnonymous)/mib, limits.AnonymousMiB, "peak anonymous memory in MiB")
	atMost(m.PeakRSS > 0, float64(m.PeakRSS)/mib, limits.RSSMiB, "peak RSS in MiB")
	atMost(m.MemoryGrowth > 0, m.MemoryGrowth, limits.MemoryGrowth, "anonymous memory of the last quarter against the second")
	// An idle Collector may take less than the hundredth of a second that the kernel counts.
	atMost(m.Seconds > 0 && m.PeakRSS > 0, m.CPUCores, limits.CPUCores, "mean use of processors")
	atMost(m.Latency.P99 > 0, m.Latency.P99.Seconds(), limits.P99.Seconds(), "P99 in seconds")
	if limits.P99 > 0 && m.Behind {
		broken = append(broken, "the generator fell behind its rate: the latencies are those of a lower load")
	}
	atLeast(m.Throughput, limits.Throughput, "throughput in items/s")
	if m.Counts.Acknowledged == 0 {
		return append(broken, "nothing was acknowledged")
	}
	atLeast(float64(m.Counts.Acknowledged)/float64(m.Counts.Sent), limits.AcknowledgedRatio, "share of items acknowledged")
	return broken
}

func ratios(contender, baseline *result.Contender, limits *scenario.Limits) (broken []string) {
	if baseline == nil {
		return nil
	}
	check := func(what string, found, limit float64) {
		switch {
		case limit == 0:
		case found == 0: // which no ratio is: one of the two has no figure
			broken = append(broken, fmt.Sprintf("%s against %s: cannot be told", what, baseline.Name))
		case found > limit:
			broken = append(broken, fmt.Sprintf("%s against %s: %.3f, at most %.3f", what, baseline.Name, found, limit))
		}
	}
	check(result.CPU.Name, result.Ratio(contender, baseline, result.CPU).Median, limits.CPURatio)
	check(result.Anonymous.Name, result.Ratio(contender, baseline, result.Anonymous).Median, limits.MemoryRatio)
	check(result.Driver.Name, baseline.SpreadOf(func(m *result.Measurement) float64 { return m.DriverCPUPerMillion / m.CPUPerMillion }).Median, limits.DriverRatio)
	return broken
}
