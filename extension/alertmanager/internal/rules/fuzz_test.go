package rules

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

// FuzzShortRule holds a rule that is accepted against the expression it becomes: no name or pattern can break out of its quotes.
func FuzzShortRule(f *testing.F) {
	f.Add("QueueNearlyFull", "otelcol.self.queue.utilization", "exporter", "pooledotlp.*", ">", 0.8, int64(time.Minute), "warning", "critical")
	f.Add("A", `m"} or vector(1) or {"`, `x"`, `a\"|b`, "!=", -1e300, int64(1), "", "x")
	f.Add("A\n", "\xff", "\x00", "(", "==", 0.0, int64(-1), "\"", "")
	f.Fuzz(func(t *testing.T, name, metric, label, pattern, op string, threshold float64, hold int64, severity, escalated string) {
		rule := Rule{
			Name: name, Metric: metric, Match: map[string]string{label: pattern}, Op: op, Threshold: &threshold,
			For: time.Duration(hold), Severity: severity, Escalate: []Step{{After: time.Minute, Severity: escalated}},
		}
		set, err := Load(Builtin{}, []Rule{rule}, nil)
		if err != nil {
			return
		}
		for _, one := range set.groups[configSource].Groups[0].Rules {
			expr, err := promQL.ParseExpr(one.Expr)
			require.NoError(t, err)
			comparison, ok := expr.(*parser.BinaryExpr)
			require.True(t, ok, one.Expr)
			require.Equal(t, op, comparison.Op.String())
			selector, ok := comparison.LHS.(*parser.VectorSelector)
			require.True(t, ok, one.Expr)
			found := map[string]*labels.Matcher{}
			for _, m := range selector.LabelMatchers {
				found[m.Type.String()+m.Name] = m
			}
			require.Len(t, found, 2, one.Expr)
			require.Equal(t, metric, found["=__name__"].Value)
			require.Equal(t, pattern, found["=~"+label].Value)
			require.Equal(t, name, one.Alert)
		}
	})
}

// FuzzRuleOfAConfiguration decodes what somebody may write under `rules:`.
func FuzzRuleOfAConfiguration(f *testing.F) {
	f.Add(`{name: A, metric: m, match: {a: b}, op: ">", threshold: 1, for: 2m, severity: s, labels: {a: b}, escalate: [{after: 1m, severity: c}]}`)
	f.Add(`{name: A, expr: "up == 0", annotations: {summary: "{{ $value }}"}}`)
	f.Add(`{name: A, threshold: .inf, match: [1], for: -1}`)
	f.Fuzz(func(t *testing.T, text string) {
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
		if err != nil {
			return
		}
		conf, err := retrieved.AsConf()
		if err != nil {
			return
		}
		var rule Rule
		if conf.Unmarshal(&rule) != nil {
			return
		}
		if set, err := Load(Builtin{}, []Rule{rule}, nil); err == nil {
			require.Len(t, set.groups[configSource].Groups[0].Rules, 1+len(rule.Escalate))
		}
	})
}
