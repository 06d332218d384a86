package rules

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func number(f float64) *float64 { return &f }

func TestAShortRuleBecomesPrometheuss(t *testing.T) {
	rule := Rule{
		Name: "QueueNearlyFull", Metric: "otelcol.self.queue.utilization", Match: map[string]string{"exporter": "pooledotlp.*", "b": `"x"`},
		Op: ">", Threshold: number(0.8), For: 2 * time.Minute, KeepFiringFor: time.Minute, Severity: "warning",
		Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"summary": "queue at {{ $value }}"},
		Escalate: []Step{{After: 15 * time.Minute, Severity: "critical"}},
	}
	require.NoError(t, rule.Check())
	compiled := rule.compile()
	require.Len(t, compiled, 2)
	assert.Equal(t, `{"otelcol.self.queue.utilization", "b"=~"\"x\"", "exporter"=~"pooledotlp.*"} > 0.8`, compiled[0].Expr)
	assert.Equal(t, "2m", compiled[0].For.String())
	assert.Equal(t, "1m", compiled[0].KeepFiringFor.String())
	assert.Equal(t, map[string]string{"team": "a", "severity": "warning", "escalation_from": "warning"}, compiled[0].Labels)
	assert.Equal(t, "17m", compiled[1].For.String(), "the step waits for so long after the alert")
	assert.Equal(t, map[string]string{"team": "a", "severity": "critical", "escalation": "1", "escalation_from": "warning"}, compiled[1].Labels)
	assert.Equal(t, compiled[0].Alert, compiled[1].Alert)

	rule.Severity = ""
	assert.Equal(t, "none", rule.compile()[1].Labels["escalation_from"])
	rule.Escalate = nil
	assert.NotContains(t, rule.compile()[0].Labels, "escalation_from")

	rule.Escalate = []Step{{After: time.Minute, Severity: "critical"}}
	set, err := Load(Builtin{}, []Rule{rule}, nil)
	require.NoError(t, err)
	groups, _ := set.Load(configSource, false, 0)
	assert.Len(t, groups.Groups[0].Rules, 2)
}

func TestEveryFaultOfARuleIsNamed(t *testing.T) {
	bad := []Rule{
		{Op: "~", For: -1, KeepFiringFor: 10, Escalate: []Step{{After: 0}, {After: 1, Severity: "x"}, {After: 2, Severity: "x"}}},
		{Name: "Both", Metric: "m", Expr: "x"},
	}
	_, err := Load(Builtin{Disable: []string{"No"}, Override: map[string]Override{"Neither": {}, "HighCPU": {For: new(time.Duration(5))}}}, bad, nil)
	for _, want := range []string{
		"`rules::0` ()", "`name` must not be empty", "`metric` or `expr` must be set", "`for` must be 0 or at least 1s, found -1ns",
		"`keep_firing_for` must be 0 or at least 1s, found 10ns", "`escalate::0::after` must be at least 1s and longer than 0s, found 0s", "`escalate::1::after` must be at least 1s and longer than 0s, found 1ns", "`escalate::0::severity`",
		"`escalate::2::severity` must differ from those before, found \"x\"", "`rules::1` (Both): `expr` excludes `metric`",
		"`disable::0` must be one of HighCPU", `found "No"`, `found "Neither"`, "`override::HighCPU::for` must be 0 or at least 1s, found 5ns",
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Load(Builtin{}, []Rule{{Name: "x", Metric: "m", Op: "~"}}, nil)
	assert.ErrorContains(t, err, "`op` must be one of > >= < <= == !=, found \"~\"")
	assert.ErrorContains(t, err, "`threshold` must be set")
}

func TestAPatternThatIsNoRegularExpressionIsNamed(t *testing.T) {
	rule := Rule{Name: "X", Metric: "m", Op: ">", Threshold: number(1), Match: map[string]string{"exporter": "*", "receiver": "(", "fine": ".*"}}
	_, err := Load(Builtin{}, []Rule{rule}, nil)
	require.ErrorContains(t, err, "`rules::0` (X): `match::exporter` must be a regular expression such as \".*\", found \"*\": error parsing regexp: missing argument")
	require.ErrorContains(t, err, "`match::receiver` must be")
	assert.NotContains(t, err.Error(), "fine")
}

func TestAnEscalationToALowerSeverityIsRefused(t *testing.T) {
	load := func(own string, labels map[string]string, steps ...string) error {
		rule := Rule{Name: "X", Expr: "x", Severity: own, Labels: labels}
		for i, severity := range steps {
			rule.Escalate = append(rule.Escalate, Step{After: time.Duration(i+1) * time.Minute, Severity: severity})
		}
		_, err := Load(Builtin{}, []Rule{rule}, nil)
		return err
	}
	require.ErrorContains(t, load("critical", nil, "warning"), "`rules::0` (X): `escalate::0::severity` must be higher than \"critical\", found \"warning\"")
	require.ErrorContains(t, load("", map[string]string{"severity": "error"}, "info"), "must be higher than \"error\"")
	require.ErrorContains(t, load("", map[string]string{"severity": "error"}, "error"), "must differ")
	require.ErrorContains(t, load("info", nil, "error", "page", "warning"), "`escalate::2::severity` must be higher than \"error\"")
	require.NoError(t, load("info", nil, "warning", "error", "critical"))
	require.NoError(t, load("critical", nil, "page"), "nobody knows the order of severities of one's own")
	require.NoError(t, load("P1", nil, "info"))
	require.NoError(t, load("", nil, "info"))
}

func TestANameWithDotsIsToldHowToBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dots.yml")
	require.NoError(t, os.WriteFile(file, []byte("groups: [{name: g, rules: [{alert: A, expr: 'a.b > 1'}]}]"), 0o600))
	_, err := Load(Builtin{}, []Rule{
		{Name: "Metric", Expr: "otelcol.self.queue.utilization > 0.8"}, {Name: "Label", Expr: `x{service.name="a"}`}, {Name: "Other", Expr: "x > #"},
	}, []string{file})
	const hint = `{"otelcol.self.queue.utilization"}`
	require.ErrorContains(t, err, "`rules::0` (Metric): could not parse expression: 1:8: parse error: unexpected character: '.' (names with dots")
	require.ErrorContains(t, err, "`rules::1` (Label): could not parse expression: 1:10: parse error: unexpected character inside braces: '.' (names with dots")
	assert.Equal(t, 3, strings.Count(err.Error(), hint), "not where something else is wrong: %v", err)
}

func TestFaultsInExpressionsTemplatesAndFilesNameRuleAndReason(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wrong.yml")
	require.NoError(t, os.WriteFile(file, []byte("groups: [{name: g, rules: [{alert: A, expr: 'sum(', labels: {x: '{{ nope }}'}}]}]"), 0o600))
	_, err := Load(Builtin{Enabled: true}, []Rule{
		{Name: "Odd", Expr: "rate(x)"}, {Name: "Template", Expr: "x", Annotations: map[string]string{"summary": "{{ .No"}},
	}, []string{file, "/no/such/*.yml", "[", file + ".none"})
	for _, want := range []string{"Odd", "expected type range vector", "Template", "summary", file, `"A"`, "unclosed left parenthesis", "/no/such/*.yml", "matches no file", "syntax error in pattern"} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Load(Builtin{}, nil, []string{t.TempDir()})
	assert.ErrorContains(t, err, "is a directory")
}

func TestFaultsOfOneKindHideNoOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wrong.yml")
	require.NoError(t, os.WriteFile(file, []byte("groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]\n---\ngroups: []\n"), 0o600))
	unknown := filepath.Join(t.TempDir(), "unknown.yml")
	require.NoError(t, os.WriteFile(unknown, []byte("groups:\n- name: g\n  rules:\n  - {alert: A, expr: x, fro: 1m}\n"), 0o600))
	twice := filepath.Join(t.TempDir(), "twice.yml")
	require.NoError(t, os.WriteFile(twice, []byte("groups: [{name: g, rules: []}, {name: g, rules: [{record: 'a b', expr: x, for: 1m}]}]"), 0o600))
	_, err := Load(Builtin{Enabled: true, Disable: []string{"No"}}, []Rule{
		{Name: "Short"},
		{Name: "Odd", Expr: "rate(x)", Severity: "warning", Escalate: []Step{{After: time.Minute, Severity: "critical"}}},
	}, []string{file, unknown, twice})
	for _, want := range []string{
		"`disable::0`", "`rules::0` (Short): `metric` or `expr` must be set", "`rules::1` (Odd): could not parse expression", "expected type range vector",
		file + `: 1:`, `group "g", rule 1, "A"`, "more than one YAML document", unknown + ": ", "line 4: field fro not found",
		`"g" is repeated in the same file`, `"a b"`,
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.Equal(t, 1, strings.Count(err.Error(), "(Odd)"), "once for the rule and its steps")
}

func TestTwoRulesWhoseAlertsWouldBeTheSameAreRefused(t *testing.T) {
	rule := func(name, severity string, labels map[string]string) Rule {
		return Rule{Name: name, Expr: "x > 1", Severity: severity, Labels: labels}
	}
	_, err := Load(Builtin{Enabled: true, Disable: []string{"SlowExport"}}, []Rule{
		rule("A", "warning", nil), rule("A", "critical", nil), rule("A", "", map[string]string{"severity": "warning", "team": "x"}), rule("SlowExport", "warning", nil),
	}, nil)
	require.NoError(t, err)
	_, err = Load(Builtin{Enabled: true}, []Rule{
		rule("A", "warning", nil), rule("A", "", map[string]string{"severity": "warning"}), rule("HighCPU", "warning", nil),
	}, nil)
	require.ErrorContains(t, err, "`rules::1` (A): `name` and `labels` are those of `rules::0` (A)")
	require.ErrorContains(t, err, "`rules::2` (HighCPU): `name` and `labels` are those of a rule that ships")
}

func TestRulesThatShipCanBeChangedAndSwitchedOff(t *testing.T) {
	set, err := Load(Builtin{
		Enabled: true, Disable: []string{"SlowExport"},
		Override: map[string]Override{"HighCPU": {Threshold: number(0.5), For: new(10 * time.Minute), Severity: "critical"}},
	}, nil, nil)
	require.NoError(t, err)
	groups, _ := set.Load(builtinSource, false, 0)
	var names []string
	for _, r := range groups.Groups[0].Rules {
		names = append(names, r.Alert)
	}
	assert.Equal(t, []string{"HighCPU", "HighMemory", "LowThroughput", "HighErrorRate"}, names)
	assert.Equal(t, `{"process.cpu.utilization"} > 0.5`, groups.Groups[0].Rules[0].Expr)
	assert.Equal(t, "10m", groups.Groups[0].Rules[0].For.String())
	assert.Equal(t, "critical", groups.Groups[0].Rules[0].Labels["severity"])
}

// course is a recorded course of metrics and the rule that should see something in it.
type course struct {
	series, fires string
}

// Every rule that ships fires on a course that is over its threshold, and not on one that is under it.
func TestRulesThatShipFireAndDoNotFire(t *testing.T) {
	set, err := Load(Builtin{Enabled: true}, nil, []string{"../../rules/prediction.yml"})
	require.NoError(t, err)
	const (
		sent    = `{"otelcol.self.throughput", direction="export", signal="logs"} `
		dropped = `{"otelcol.self.dropped", reason="rejected", signal="logs"} `
	)
	for _, c := range []course{
		{series: `{"process.cpu.utilization"} 0.9+0x100`, fires: "HighCPU"},
		{series: `{"process.cpu.utilization"} 0.79+0x100`},
		{series: `{"otelcol.self.memory.utilization"} 0.86+0x100`, fires: "HighMemory"},
		{series: `{"otelcol.self.memory.utilization"} 0.84+0x100`},
		{series: `{"otelcol.self.export.latency", quantile="0.99"} 0.11+0x100`, fires: "SlowExport"},
		{series: `{"otelcol.self.export.latency", quantile="0.5"} 0.11+0x100`},
		{series: "{\"otelcol.self.throughput\", direction=\"export\"} 99999+0x100\n  {\"otelcol.self.queue.size\"} 1+0x100", fires: "LowThroughput"},
		{series: "{\"otelcol.self.throughput\", direction=\"export\"} 9+0x100\n  {\"otelcol.self.waiting.bytes\"} 1+0x100", fires: "LowThroughput"},
		{series: "{\"otelcol.self.throughput\", direction=\"export\"} 9+0x100\n  {\"otelcol.self.queue.size\"} 0+0x100"},
		{series: "{\"otelcol.self.throughput\", direction=\"export\"} 100001+0x100\n  {\"otelcol.self.queue.size\"} 1+0x100"},
		{series: `{"otelcol.self.error.ratio", direction="receive"} 0.02+0x100`, fires: "HighErrorRate"},
		{series: `{"otelcol.self.error.ratio", direction="receive"} 0.009+0x100`},
		{series: sent + "98+0x100\n  " + dropped + "2+0x100", fires: "HighErrorRate"},
		{series: sent + "99.1+0x100\n  " + dropped + "0.9+0x100"},
		{series: dropped + "2+0x100", fires: "HighErrorRate"},                                                         // nothing else was sent
		{series: sent + "98+0x100\n  " + `{"otelcol.self.error.ratio", direction="export", signal="logs"} 0.9+0x100`}, // callers are told
		// What is ahead: 30 s steps, looked at after 50 minutes.
		{series: `{"otelcol.self.memory.utilization"} 0.3+0.005x100`, fires: "MemoryWillRunOut"},
		{series: `{"otelcol.self.memory.utilization"} 0.3+0.00001x100`},
		{series: "{\"system.filesystem.utilization\"} 0.5+0.003x100", fires: "DiskWillFill"},
		{series: "{\"system.filesystem.utilization\"} 0.5+0x100"},
		{series: `{"otelcol.self.queue.utilization"} 0.1+0.006x100`, fires: "QueueWillFill"},
		{series: `{"otelcol.self.queue.utilization"} 0.4-0.003x100`},
		{series: `{"otelcol.self.export.latency", quantile="0.99"} 0.010 0.011x45 0.012 0.010x42 0.09x10`, fires: "UnusualLatency"},
		{series: `{"otelcol.self.export.latency", quantile="0.99"} 0.010 0.011x45 0.012 0.010x52`},
		{series: `{"otelcol.self.throughput", direction="export"} 1000 1010x45 990 1000x42 10x10`, fires: "UnusualThroughput"},
		{series: `{"otelcol.self.throughput", direction="export"} 1000 1010x45 990 1000x52`},
	} {
		t.Run(c.fires+" "+c.series, func(t *testing.T) {
			storage := promqltest.LoadedStorage(t, "load 30s\n  "+c.series+"\n")
			engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: promQL, EnableAtModifier: true})
			t.Cleanup(func() { _ = engine.Close() })
			fired := map[string]bool{}
			for _, source := range set.sources {
				groups, _ := set.Load(source, false, 0)
				for _, rule := range slices.Concat(rulesOf(groups)...) {
					q, err := engine.NewInstantQuery(t.Context(), storage, nil, rule.Expr, time.Unix(0, 0).Add(49*time.Minute))
					require.NoError(t, err)
					result, err := q.Exec(t.Context()).Vector()
					require.NoError(t, err)
					if len(result) > 0 {
						fired[rule.Alert] = true
					}
					q.Close()
				}
			}
			if c.fires == "" {
				assert.Empty(t, fired)
				return
			}
			assert.Contains(t, fired, c.fires)
		})
	}
}

func rulesOf(groups *rulefmt.RuleGroups) [][]rulefmt.Rule {
	var all [][]rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules)
	}
	return all
}

func TestTheEngineFiresResolvesAndAnswersQueries(t *testing.T) {
	storage := promqltest.LoadedStorage(t, "load 1s\n  up 0x1\n")
	set, err := Load(Builtin{}, []Rule{{Name: "Always", Expr: "vector(3) > 2", Severity: "info"}}, nil)
	require.NoError(t, err)
	sent := make(chan *prometheusrules.Alert, 100)
	engine, err := Start(Config{
		Storage: storage, Rules: set, Interval: time.Second, ExternalURL: &url.URL{}, Logger: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(),
		Notify: func(_ context.Context, _ string, alerts ...*prometheusrules.Alert) {
			for _, a := range alerts {
				sent <- a
			}
		},
	})
	require.NoError(t, err)
	a := <-sent
	assert.Equal(t, "Always", a.Labels.Get("alertname"))
	assert.Equal(t, "info", a.Labels.Get("severity"))
	require.Len(t, engine.Groups(), 1)
	matrix, err := engine.QueryRange(t.Context(), "vector(7)", time.Unix(0, 0), time.Unix(10, 0), 5*time.Second)
	require.NoError(t, err)
	require.Len(t, matrix, 1)
	assert.Len(t, matrix[0].Floats, 3)
	assert.InDelta(t, 7, matrix[0].Floats[2].F, 0)
	_, err = engine.QueryRange(t.Context(), "sum(", time.Unix(0, 0), time.Unix(10, 0), time.Second)
	require.Error(t, err)
	_, err = engine.QueryRange(t.Context(), `"text"`, time.Unix(0, 0), time.Unix(10, 0), time.Second)
	require.Error(t, err)
	require.NoError(t, engine.Stop())
}

func TestTheIntervalOfAnAlertIsThatOfItsGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.yml")
	require.NoError(t, os.WriteFile(path, []byte(`groups:
- {name: slow, interval: 20m, rules: [{alert: Disk, expr: x > 0}]}
- {name: slower, interval: 30m, rules: [{record: y, expr: x}, {alert: Full, expr: x > 0}]}
- {name: usual, rules: [{alert: Disk, expr: y > 0}, {alert: Queue, expr: y > 0}]}
`), 0o600))
	set, err := Load(Builtin{Enabled: true}, nil, []string{path})
	require.NoError(t, err)
	for name, want := range map[string]time.Duration{
		"Disk": 20 * time.Minute, "Full": 30 * time.Minute, "Queue": time.Minute, "HighCPU": time.Minute, "None": time.Minute, "": 30 * time.Minute,
	} {
		assert.Equal(t, want, set.Interval(name, time.Minute), name)
	}
	assert.Equal(t, time.Hour, set.Interval("Disk", time.Hour), "the longest that it may take")
}
