package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/promqltest"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loaded returns the rules of a file alone.
func loaded(t *testing.T, path string) *Set {
	t.Helper()
	set, err := Load(Builtin{}, nil, []string{path})
	require.NoError(t, err)
	return set
}

// evaluate evaluates rules at each step of a course and shows what it found.
func evaluate(t *testing.T, course string, set *Set, step time.Duration, steps int, found func(time.Duration, *prometheusrules.AlertingRule)) {
	t.Helper()
	engine, err := Start(Config{
		Storage: promqltest.LoadedStorage(t, fmt.Sprintf("load %s\n  %s\n", step, course)), Rules: set, Interval: time.Hour, ExternalURL: &url.URL{},
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Notify: func(context.Context, string, ...*prometheusrules.Alert) {},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, engine.Stop()) }()
	for i := range steps {
		now := time.Duration(i) * step
		for _, group := range engine.Groups() {
			group.Eval(t.Context(), time.Unix(0, 0).Add(now))
			for _, r := range group.AlertingRules() {
				require.NoError(t, r.LastError())
				found(now, r)
			}
		}
	}
}

// states evaluates a rule file every minute over a course and returns how each minute found a rule.
func states(t *testing.T, course, file, rule string, minutes int) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	var found []string
	evaluate(t, course, loaded(t, path), time.Minute, minutes, func(_ time.Duration, r *prometheusrules.AlertingRule) {
		if r.Name() == rule {
			found = append(found, r.State().String())
		}
	})
	return found
}

func TestRulesOfAFileAreEvaluatedAsPrometheusDoes(t *testing.T) {
	const group = "groups: [{name: g, interval: 1h, rules: ["
	for name, c := range map[string]struct {
		course, file string
		want         []string
	}{
		"for waits, and begins anew": {
			"m 1 1 0 1 1 1", group + "{alert: A, expr: m > 0, for: 2m}]}]",
			[]string{"pending", "pending", "inactive", "pending", "pending", "firing"},
		},
		"keep_firing_for goes on without a gap": {
			"m 1 0 1 0 0 0 0", group + "{alert: A, expr: m > 0, keep_firing_for: 2m}]}]",
			[]string{"firing", "firing", "firing", "firing", "firing", "inactive", "inactive"},
		},
		"a recording rule feeds an alert of its group": {
			`m{i="a"} 1 2 3` + "\n  " + `m{i="b"} 1 2 3`, group + "{record: 'm:sum', expr: sum(m)}, {alert: A, expr: 'm:sum > 3'}]}]",
			[]string{"inactive", "firing", "firing"},
		},
		"what is absent": {
			"m 1 1 _ _ _ _ _ _", group + `{alert: A, expr: 'absent(m)'}]}]`,
			[]string{"inactive", "inactive", "inactive", "inactive", "inactive", "inactive", "firing", "firing"}, // five minutes count with the last value
		},
		"what is ahead": {
			"m 0 1 2 3 3 3 3 3 3", group + `{alert: A, expr: 'predict_linear(m[3m], 300) > 6'}]}]`,
			[]string{"inactive", "inactive", "firing", "firing", "inactive", "inactive", "inactive", "inactive", "inactive"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, states(t, c.course, c.file, "A", len(c.want)))
		})
	}
}

// The error ratio and the latency are there only in the windows of 10 s in which something is sent or received.
func TestOneFailureOnAQuietCollectorFiresNothing(t *testing.T) {
	set, err := Load(Builtin{Enabled: true}, nil, nil)
	require.NoError(t, err)
	const (
		step        = 10 * time.Second
		errorRatio  = `{"otelcol.self.error.ratio", direction="receive", signal="traces"} `
		drops       = `{"otelcol.self.dropped", reason="rejected", signal="traces"} `
		slowExports = `{"otelcol.self.export.latency", exporter="x", quantile="0.99"} `
	)
	oncePerMinute := "0x5" + strings.Repeat(" 1 _x5", 6) // as by clients that push metrics
	for name, c := range map[string]struct {
		rule, course string
		turns        []string
	}{
		"one failure":            {"HighErrorRate", errorRatio + "0x5 1 _x35", nil},
		"constant failures":      {"HighErrorRate", errorRatio + "0x5 1x35", []string{"3m0s"}},
		"failures once a minute": {"HighErrorRate", errorRatio + oncePerMinute, []string{"3m0s"}},
		"failures, then none":    {"HighErrorRate", errorRatio + "0x5 1x20 0x14", []string{"3m0s", "4m30s"}},
		"failures, then silence": {"HighErrorRate", errorRatio + "0x5 1x20 _x15", []string{"3m0s", "5m50s"}},
		// What is dropped is 0 in silence.
		"one item dropped":           {"HighErrorRate", drops + "0x5 1 0x35", nil},
		"items dropped all the time": {"HighErrorRate", drops + "0x5 1x35", []string{"3m0s"}},
		"items dropped each minute":  {"HighErrorRate", drops + "0x5" + strings.Repeat(" 1 0x4", 6), []string{"3m0s"}},
		"items dropped for a while":  {"HighErrorRate", drops + "0x5 1x20 0x14", []string{"3m0s", "5m50s"}},
		"one slow export":            {"SlowExport", slowExports + "0x5 1 _x35", nil},
		"constantly slow exports":    {"SlowExport", slowExports + "0x5 1x35", []string{"4m0s"}},
		"slow exports once a minute": {"SlowExport", slowExports + oncePerMinute, []string{"4m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			var turns []string
			fired := false
			evaluate(t, c.course, set, step, 42, func(now time.Duration, r *prometheusrules.AlertingRule) {
				if fires := r.State() == prometheusrules.StateFiring; r.Name() == c.rule && fires != fired {
					turns, fired = append(turns, now.String()), fires
				}
			})
			assert.Equal(t, c.turns, turns)
		})
	}
}
