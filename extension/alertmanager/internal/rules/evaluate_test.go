package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/promqltest"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evaluate evaluates a rule file at each step of a course and shows what it found.
func evaluate(t *testing.T, course, path string, step time.Duration, steps int, found func(time.Duration, *prometheusrules.AlertingRule)) {
	t.Helper()
	set, err := Load(Builtin{}, nil, []string{path})
	require.NoError(t, err)
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
	evaluate(t, course, path, time.Minute, minutes, func(_ time.Duration, r *prometheusrules.AlertingRule) {
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
