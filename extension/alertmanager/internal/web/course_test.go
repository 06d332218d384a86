package web

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
)

func parsed(t *testing.T, expr string) parser.Expr {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	require.NoError(t, err)
	return e
}

func TestAPlotShowsWhatIsComparedAndTheLimit(t *testing.T) {
	limit := func(f float64) *float64 { return &f }
	for expr, want := range map[string]struct {
		looked string
		limit  *float64
	}{
		`a > 5`:                         {"a", limit(5)},
		`5 < a`:                         {"a", limit(5)},
		`(a > bool 5)`:                  {"a", limit(5)},
		`sum(a) < 5 and on () b > 0`:    {"sum(a)", limit(5)},
		`a > 5 unless on () b`:          {"a", limit(5)},
		`a > b`:                         {"a > b", nil},
		`a + 5`:                         {"a + 5", nil},
		`absent(a)`:                     {"absent(a)", nil},
		`a > 5 or b > 6`:                {"a > 5 or b > 6", nil},
		`predict_linear(a[30m], 9) > 1`: {"predict_linear(a[30m], 9)", limit(1)},
	} {
		looked, threshold := plot(parsed(t, expr))
		assert.Equal(t, want.looked, looked.String(), expr)
		assert.Equal(t, want.limit, threshold, expr)
	}
}

func TestACourseIsAskedOfTheAlertsOwnSeries(t *testing.T) {
	rule := prometheusrules.NewAlertingRule("Full", parsed(t, "a > 5"), 0, 0, labels.FromStrings("severity", "warning"), labels.EmptyLabels(),
		labels.EmptyLabels(), "", false, nil)
	incident := &incidents.Incident{Labels: map[string]string{"alertname": "Full", "severity": "warning", "host": `x"y`, "some.label": "z"}}
	selector := parsed(t, `a{host=~".+"}`)
	assert.Equal(t, `a{"some.label"="z",host="x\"y",host=~".+"}`, narrowed(selector, rule, incident))
	assert.Equal(t, `a{host=~".+"}`, selector.String(), "the rule's own expression stays as it is")
	assert.Equal(t, "sum by (host) (a)", narrowed(parsed(t, "sum by (host) (a)"), rule, incident), "a label may come from anywhere in it")

	assert.True(t, belongs(labels.FromStrings("__name__", "a", "host", `x"y`), incident.Labels))
	assert.False(t, belongs(labels.FromStrings("__name__", "a", "host", "other"), incident.Labels))
	assert.False(t, belongs(labels.FromStrings("__name__", "a", "instance", "1"), incident.Labels))
}
