package result

import (
	"math"
	"slices"
)

// Metric is a figure of a measurement that contenders are compared by.
type Metric struct {
	Name string
	// Unit is in Go's benchmark form, value per what.
	Unit string
	// HigherIsBetter is true for throughput only.
	HigherIsBetter bool
	// Least is the smallest difference that says something, of figures that may well be 0. 0 for the others, which are never 0 where measured.
	Least float64
	Of    func(*Measurement) float64
}

// The figures that limits and plots use by name.
var (
	CPU        = Metric{Name: "CPU", Unit: "cpu-s/Mitem", Of: func(m *Measurement) float64 { return m.CPUPerMillion }}
	Driver     = Metric{Name: "driver's CPU", Unit: "driver-cpu-s/Mitem", Of: func(m *Measurement) float64 { return m.DriverCPUPerMillion }}
	Wire       = Metric{Name: "wire", Unit: "wire-B/item", Of: func(m *Measurement) float64 { return m.WireBytesPerItem }}
	Anonymous  = Metric{Name: "peak anonymous", Unit: "anon-B", Of: func(m *Measurement) float64 { return float64(m.PeakAnonymous) }}
	P99        = Metric{Name: "P99", Unit: "p99-ns", Of: func(m *Measurement) float64 { return float64(m.Latency.P99) }}
	Throughput = Metric{Name: "throughput", Unit: "items/s", HigherIsBetter: true, Of: func(m *Measurement) float64 { return m.Throughput }}
)

// Metrics are the figures of every comparison, in the order in which tables show them.
var Metrics = []Metric{
	CPU,
	Wire,
	Anonymous,
	{Name: "peak RSS", Unit: "rss-B", Of: func(m *Measurement) float64 { return float64(m.PeakRSS) }},
	Throughput,
	{Name: "P50", Unit: "p50-ns", Of: func(m *Measurement) float64 { return float64(m.Latency.P50) }},
	{Name: "P95", Unit: "p95-ns", Of: func(m *Measurement) float64 { return float64(m.Latency.P95) }},
	P99,
	{Name: "max", Unit: "max-ns", Of: func(m *Measurement) float64 { return float64(m.Latency.Max) }},
}

// shares are compared, too. As they may be 0, no ratio can be taken of them, and no table has them.
var shares = []Metric{
	{Name: "not acknowledged", Unit: "share", Least: 0.001, Of: func(m *Measurement) float64 { return share(m, m.Counts.Sent-m.Counts.Acknowledged) }},
	{Name: "duplicates", Unit: "share", Least: 0.001, Of: func(m *Measurement) float64 { return share(m, m.Counts.Duplicates) }},
}

// share is of the items sent, NaN where there were none.
func share(m *Measurement, items uint64) float64 { return float64(items) / float64(m.Counts.Sent) }

// Spread is a figure's course over the rounds.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf summarizes values; the zero Spread stands for none.
func SpreadOf(values []float64) Spread {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + values[middle]) / 2
	}
	return Spread{Median: median, Min: values[0], Max: values[len(values)-1]}
}

// Spread is the contender's course of a metric over its rounds.
func (c *Contender) Spread(metric Metric) Spread { return c.SpreadOf(metric.Of) }

// SpreadOf is the course of any figure.
func (c *Contender) SpreadOf(figure func(*Measurement) float64) Spread {
	var values []float64
	for i := range c.Rounds {
		if c.Rounds[i].Fault == "" {
			values = append(values, figure(&c.Rounds[i]))
		}
	}
	return SpreadOf(values)
}

// Ratio compares round by round: what disturbs one round disturbs both sides of its ratio.
func Ratio(contender, baseline *Contender, metric Metric) Spread {
	var ratios []float64
	for i := range min(len(contender.Rounds), len(baseline.Rounds)) {
		own, base := &contender.Rounds[i], &baseline.Rounds[i]
		if own.Fault == "" && base.Fault == "" {
			ratios = append(ratios, metric.Of(own)/metric.Of(base))
		}
	}
	return SpreadOf(ratios)
}

// BaselineContender is the contender that the case's ratios are taken against, nil if it did not run.
func (c *Case) BaselineContender() *Contender {
	for i := range c.Contenders {
		if c.Contenders[i].Name == c.Baseline {
			return &c.Contenders[i]
		}
	}
	return nil
}

// Change is a metric of one contender in two reports.
type Change struct {
	Case, Contender string
	Metric          Metric
	Before, After   Spread
}

// Ratio is how the median changed.
func (c *Change) Ratio() float64 { return c.After.Median / c.Before.Median }

// Clear tells whether the two spreads do not overlap: a smaller change is noise as far as these rounds show.
func (c *Change) Clear() bool {
	return (c.After.Min > c.Before.Max || c.After.Max < c.Before.Min) && math.Abs(c.After.Median-c.Before.Median) >= c.Metric.Least
}

// Worse tells whether the change is clear, and for the worse by more than tolerance (0.05 is 5 %).
func (c *Change) Worse(tolerance float64) bool { return c.Clear() && c.costs() > 1+tolerance }

// Better is the opposite of Worse.
func (c *Change) Better(tolerance float64) bool { return c.Clear() && 1/c.costs() > 1+tolerance }

// costs is the ratio turned so that more is worse.
func (c *Change) costs() float64 {
	if c.Metric.HigherIsBetter {
		return 1 / c.Ratio()
	}
	return c.Ratio()
}

// Fault is something that one report has more of for each round than the other, and none should have. The counts are of all rounds.
type Fault struct {
	Case, Contender, What     string
	Before, After             uint64
	BeforeRounds, AfterRounds int
}

// Comparison is what two reports have in common, and what not.
type Comparison struct {
	Changes []Change
	// Faults are those that became more: items lost, changed or from nowhere, runs that failed.
	Faults []Fault
	// OnlyBefore and OnlyAfter name cases with their contenders that the other report lacks, or did not get to run.
	OnlyBefore, OnlyAfter []string
}

// Compare finds what both reports have measured.
func Compare(before, after *Report) Comparison {
	var c Comparison
	old, matched := map[string]*Contender{}, map[string]bool{}
	before.each(func(id string, contender *Contender) { old[id+", "+contender.Name] = contender })
	after.each(func(id string, contender *Contender) {
		name := id + ", " + contender.Name
		if old[name] == nil {
			c.OnlyAfter = append(c.OnlyAfter, name)
			return
		}
		if len(contender.Rounds) == 0 {
			return
		}
		matched[name] = true
		c.add(id, old[name], contender)
	})
	before.each(func(id string, contender *Contender) {
		if name := id + ", " + contender.Name; !matched[name] && len(contender.Rounds) > 0 {
			c.OnlyBefore = append(c.OnlyBefore, name)
		}
	})
	return c
}

func (r *Report) each(visit func(caseID string, contender *Contender)) {
	for i := range r.Cases {
		for j := range r.Cases[i].Contenders {
			visit(r.Cases[i].ID, &r.Cases[i].Contenders[j])
		}
	}
}

func (c *Comparison) add(id string, before, after *Contender) {
	for _, metric := range Metrics {
		change := Change{Case: id, Contender: after.Name, Metric: metric, Before: before.Spread(metric), After: after.Spread(metric)}
		if change.Before.Median != 0 && change.After.Median != 0 {
			c.Changes = append(c.Changes, change)
		}
	}
	for _, metric := range shares {
		change := Change{Case: id, Contender: after.Name, Metric: metric, Before: before.Spread(metric), After: after.Spread(metric)}
		if before.delivers() && after.delivers() && change.Before.Median != change.After.Median {
			c.Changes = append(c.Changes, change)
		}
	}
	roundsBefore, roundsAfter := len(before.Rounds), len(after.Rounds)
	for _, fault := range faults {
		if had, has := before.total(fault.of), after.total(fault.of); has*uint64(max(1, roundsBefore)) > had*uint64(roundsAfter) {
			c.Faults = append(c.Faults, Fault{
				Case: id, Contender: after.Name, What: fault.what, Before: had, After: has, BeforeRounds: roundsBefore, AfterRounds: roundsAfter,
			})
		}
	}
}

// delivers tells whether there is a round that shares can be taken of.
func (c *Contender) delivers() bool {
	return slices.ContainsFunc(c.Rounds, func(m Measurement) bool { return m.Fault == "" && m.Counts.Sent > 0 })
}

// faults are counted over all rounds: however few there are, none is noise.
var faults = []struct {
	what string
	of   func(*Measurement) uint64
}{
	{"acknowledged items lost", func(m *Measurement) uint64 { return m.Counts.Lost }},
	{"items changed", func(m *Measurement) uint64 { return m.Counts.Corrupted }},
	{"items from nowhere", func(m *Measurement) uint64 { return m.Counts.Unknown }},
	{"spans without their trace or parent", func(m *Measurement) uint64 { return m.Counts.TraceLost }},
	{"requests that could not be decoded", func(m *Measurement) uint64 { return m.Counts.Malformed }},
	{"runs that failed", func(m *Measurement) uint64 {
		if m.Fault != "" {
			return 1
		}
		return 0
	}},
}

func (c *Contender) total(of func(*Measurement) uint64) (sum uint64) {
	for i := range c.Rounds {
		sum += of(&c.Rounds[i])
	}
	return sum
}

// Only is the report with one contender, under another name: two of one interleaved run can be compared so.
func (r *Report) Only(contender, name string) *Report {
	only := *r
	only.Cases = nil
	for _, c := range r.Cases {
		for _, found := range c.Contenders {
			if found.Name == contender {
				found.Name = name
				c.Contenders = []Contender{found}
				only.Cases = append(only.Cases, c)
				break
			}
		}
	}
	return &only
}
