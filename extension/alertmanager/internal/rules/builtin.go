package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Builtin says which of the rules that ship are on, and with what figures.
type Builtin struct {
	Enabled  bool                `mapstructure:"enabled"`
	Disable  []string            `mapstructure:"disable"`
	Override map[string]Override `mapstructure:"override"`
}

// Override replaces figures of a rule that ships.
type Override struct {
	Threshold *float64       `mapstructure:"threshold"`
	For       *time.Duration `mapstructure:"for"`
	Severity  string         `mapstructure:"severity"`
}

// shipped is a rule over the metrics of the selfmetrics receiver; %s stands for the threshold in the expression.
type shipped struct {
	name, expr string
	threshold  float64
	hold       time.Duration
	severity   string
	summary    string
}

// Latency and errors are silent while nothing is sent or received. Their last value counts for 90 s and not for PromQL's five minutes, which is
// longer than their `for`: a single failure, and nothing after it, would fire. It is long enough for clients that send once a minute.
var builtin = []shipped{
	{
		"HighCPU", `{"process.cpu.utilization"} > %s`, 0.8, 5 * time.Minute, "warning",
		"The Collector uses {{ $value | humanizePercentage }} of the CPUs it may use",
	},
	{
		"HighMemory", `{"otelcol.self.memory.utilization"} > %s`, 0.85, 5 * time.Minute, "critical",
		"The Collector uses {{ $value | humanizePercentage }} of its memory limit",
	},
	{
		"SlowExport", `last_over_time({"otelcol.self.export.latency", quantile="0.99"}[90s]) > %s`, 0.1, 3 * time.Minute, "warning",
		"One export in a hundred of {{ $labels.exporter }} takes longer than {{ $value | humanizeDuration }}",
	},
	{
		// Little throughput is only a fault while there is work waiting.
		"LowThroughput",
		`sum({"otelcol.self.throughput", direction="export"}) < %s and on () ` +
			`(sum({"otelcol.self.queue.size"}) > 0 or sum({"otelcol.self.waiting.bytes"}) > 0)`,
		100_000, 5 * time.Minute, "warning",
		"Work is waiting and only {{ $value | humanize }} items/s are sent",
	},
	{
		// On the way out, what nobody sends again: the error ratio has there also what a caller was told and sends again, and what
		// adaptivebatch sends again in parts. The sums are over a time, as nothing dropped is 0 and not silence.
		"HighErrorRate",
		`(last_over_time({"otelcol.self.error.ratio", direction="receive"}[90s]) or label_replace(` +
			`sum without (reason) (sum_over_time({"otelcol.self.dropped"}[90s])) / sum without (reason, direction) (` +
			`sum_over_time({"otelcol.self.dropped"}[90s]) or sum_over_time({"otelcol.self.throughput", direction="export"}[90s])), ` +
			`"direction", "export", "", "")) > %s`,
		0.01, 2 * time.Minute, "critical",
		"{{ $value | humanizePercentage }} of the {{ $labels.signal }} fail ({{ $labels.direction }})",
	},
}

func builtinNames() []string {
	names := make([]string, len(builtin))
	for i := range builtin {
		names[i] = builtin[i].name
	}
	return names
}

// Check returns all faults. It is not called Validate, which the Collector would call once more.
func (b *Builtin) Check() error {
	names := builtinNames()
	var errs []error
	for i, name := range b.Disable {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("`disable::%d` must be one of %s, found %q", i, strings.Join(names, ", "), name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Override)) {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("`override` has the rules %s, found %q", strings.Join(names, ", "), name))
		}
		if hold := b.Override[name].For; hold != nil && !isHold(*hold) {
			errs = append(errs, fmt.Errorf("`override::%s::for` must be 0 or at least 1s, found %s", name, *hold))
		}
	}
	return errors.Join(errs...)
}

// rules returns those that are on.
func (b *Builtin) rules() []Rule {
	if !b.Enabled {
		return nil
	}
	var rules []Rule
	for _, s := range builtin {
		if slices.Contains(b.Disable, s.name) {
			continue
		}
		o := b.Override[s.name]
		threshold := s.threshold
		if o.Threshold != nil {
			threshold = *o.Threshold
		}
		rule := Rule{
			Name: s.name, Expr: fmt.Sprintf(s.expr, strconv.FormatFloat(threshold, 'g', -1, 64)), For: s.hold, Severity: s.severity,
			Annotations: map[string]string{"summary": s.summary},
		}
		if o.For != nil {
			rule.For = *o.For
		}
		if o.Severity != "" {
			rule.Severity = o.Severity
		}
		rules = append(rules, rule)
	}
	return rules
}
