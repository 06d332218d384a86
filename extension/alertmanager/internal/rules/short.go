package rules

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
)

// Rule is an alerting rule in its short form: a metric compared with a threshold.
type Rule struct {
	// Name is the alert's name.
	Name string `mapstructure:"name"`
	// Metric is the OpenTelemetry name of the metric, Match are regular expressions that its attributes have to match as a whole.
	Metric string            `mapstructure:"metric"`
	Match  map[string]string `mapstructure:"match"`
	// Op is one of > >= < <= == !=.
	Op        string   `mapstructure:"op"`
	Threshold *float64 `mapstructure:"threshold"`
	// Expr is a PromQL expression instead of Metric, Match, Op and Threshold.
	Expr string `mapstructure:"expr"`
	// For is how long the comparison must hold, KeepFiringFor how long the alert stays after it does not.
	For           time.Duration `mapstructure:"for"`
	KeepFiringFor time.Duration `mapstructure:"keep_firing_for"`
	// Severity is the label `severity`.
	Severity    string            `mapstructure:"severity"`
	Labels      map[string]string `mapstructure:"labels"`
	Annotations map[string]string `mapstructure:"annotations"`
	// Escalate are further alerts of the same name, when this one still fires.
	Escalate []Step `mapstructure:"escalate"`
}

// Step is an escalation: After the alert fired for so long, it fires once more with another severity.
type Step struct {
	After    time.Duration `mapstructure:"after"`
	Severity string        `mapstructure:"severity"`
}

var operators = []string{">", ">=", "<", "<=", "==", "!="}

// isHold reports whether a condition may have to hold for so long. Rules are evaluated at most once a second, and a number without a unit is read
// as nanoseconds.
func isHold(d time.Duration) bool { return d == 0 || d >= time.Second }

// Check returns all faults of the rule's own form. Expression and templates are checked when rules are loaded.
func (r *Rule) Check() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Name == "" {
		fault("`name` must not be empty")
	}
	switch {
	case r.Expr != "" && (r.Metric != "" || r.Op != "" || r.Threshold != nil || len(r.Match) > 0):
		fault("`expr` excludes `metric`, `match`, `op` and `threshold`")
	case r.Expr == "" && r.Metric == "":
		fault("`metric` or `expr` must be set")
	case r.Expr == "":
		if !slices.Contains(operators, r.Op) {
			fault("`op` must be one of %s, found %q", strings.Join(operators, " "), r.Op)
		}
		if r.Threshold == nil {
			fault("`threshold` must be set")
		}
	}
	if !isHold(r.For) {
		fault("`for` must be 0 or at least 1s, found %s", r.For)
	}
	if !isHold(r.KeepFiringFor) {
		fault("`keep_firing_for` must be 0 or at least 1s, found %s", r.KeepFiringFor)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Match)) {
		if _, err := labels.NewFastRegexMatcher(r.Match[name]); err != nil {
			fault("`match::%s` must be a regular expression such as \".*\", found %q: %w", name, r.Match[name], err)
		}
	}
	errs = append(errs, r.checkSteps()...)
	return errors.Join(errs...)
}

// severityOrder has the severities whose order is known, from the lowest.
var severityOrder = []string{"info", "warning", "error", "critical"}

func (r *Rule) checkSteps() (errs []error) {
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	own := cmp.Or(r.Severity, r.Labels["severity"])
	previous, severities, highest := time.Duration(0), map[string]bool{own: true}, own
	for i, step := range r.Escalate {
		if step.After <= previous || !isHold(step.After) {
			fault("`escalate::%d::after` must be at least 1s and longer than %s, found %s", i, previous, step.After)
		}
		if step.Severity == "" || severities[step.Severity] {
			fault("`escalate::%d::severity` must differ from those before, found %q", i, step.Severity)
		}
		if rank := slices.Index(severityOrder, step.Severity); rank >= 0 {
			if rank < slices.Index(severityOrder, highest) {
				fault("`escalate::%d::severity` must be higher than %q, found %q", i, highest, step.Severity)
			}
			highest = step.Severity
		}
		previous, severities[step.Severity] = step.After, true
	}
	return errs
}

// identity is what two rules must not have in common: alerts of the same series would be one, which each of them reports.
func (r *Rule) identity() string {
	labels := maps.Clone(r.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if r.Severity != "" {
		labels["severity"] = r.Severity
	}
	labels["alertname"] = r.Name
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%q=%q,", name, labels[name])
	}
	return b.String()
}

// compile turns the rule, and each of its steps, into a rule of Prometheus. Steps differ in severity and in how long they wait; the label
// that they have in common with the rule itself lets one silence mute them all, and no other rule of the same name.
func (r *Rule) compile() []rulefmt.Rule {
	expr := r.Expr
	if expr == "" {
		expr = fmt.Sprintf("%s %s %s", r.selector(), r.Op, strconv.FormatFloat(*r.Threshold, 'g', -1, 64))
	}
	rule := func(hold time.Duration, severity, escalated string) rulefmt.Rule {
		labels := maps.Clone(r.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		if severity != "" {
			labels["severity"] = severity
		}
		if escalated != "" {
			labels[EscalationLabel] = escalated
		}
		if len(r.Escalate) > 0 {
			labels[EscalationFromLabel] = cmp.Or(r.Severity, r.Labels["severity"], "none")
		}
		return rulefmt.Rule{
			Alert: r.Name, Expr: expr, For: model.Duration(hold), KeepFiringFor: model.Duration(r.KeepFiringFor),
			Labels: labels, Annotations: r.Annotations,
		}
	}
	compiled := []rulefmt.Rule{rule(r.For, r.Severity, "")}
	for i, step := range r.Escalate {
		compiled = append(compiled, rule(r.For+step.After, step.Severity, strconv.Itoa(i+1)))
	}
	return compiled
}

const (
	// EscalationLabel is the label that tells which step of an escalation an alert is; the rule itself has none.
	EscalationLabel = "escalation"
	// EscalationFromLabel is the label of a rule with steps, and of its steps, that tells the rule's own severity.
	EscalationFromLabel = "escalation_from"
)

func (r *Rule) selector() string {
	var b strings.Builder
	b.WriteByte('{')
	b.WriteString(strconv.Quote(r.Metric))
	for _, name := range slices.Sorted(maps.Keys(r.Match)) {
		fmt.Fprintf(&b, ", %s=~%s", strconv.Quote(name), strconv.Quote(r.Match[name]))
	}
	b.WriteByte('}')
	return b.String()
}
