package web

import (
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	prometheusrules "github.com/prometheus/prometheus/rules"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
)

// alertCourse is what an alert's rule looks at, of the alert's own series. Without a rule or values there are no points.
type alertCourse struct {
	Query     string       `json:"query"`
	Threshold *float64     `json:"threshold,omitempty"`
	Points    [][2]float64 `json:"points"`
}

func (s *Server) course(w http.ResponseWriter, r *http.Request) {
	incident, err := s.Tracker.Incident(r.PathValue("id"))
	if err != nil {
		fail(w, err)
		return
	}
	q, err := stepsOf(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	found := alertCourse{Points: [][2]float64{}}
	rule := s.ruleOf(&incident)
	if rule == nil {
		answer(w, http.StatusOK, found)
		return
	}
	var expr parser.Expr
	expr, found.Threshold = plot(rule.Query())
	found.Query = narrowed(expr, rule, &incident)
	q.expr = found.Query
	matrix, err := s.courses.get(r.Context(), q)
	if err != nil {
		fail(w, err)
		return
	}
	for i := range matrix {
		if belongs(matrix[i].Metric, incident.Labels) {
			found.Points = numbers(matrix[i].Floats)
			break
		}
	}
	answer(w, http.StatusOK, found)
}

// ruleOf returns the rule that an alert is from: of those with its name one whose labels the alert has, or any. It is nil for an alert
// that somebody else has sent.
func (s *Server) ruleOf(incident *incidents.Incident) *prometheusrules.AlertingRule {
	var named *prometheusrules.AlertingRule
	for _, group := range s.Engine.Groups() {
		for _, rule := range group.AlertingRules() {
			if rule.Name() != incident.Name {
				continue
			}
			if named = rule; belongs(rule.Labels(), incident.Labels) {
				return rule
			}
		}
	}
	return named
}

// belongs reports whether an alert has all labels of a series or rule, but for the metric's name.
func belongs(ls labels.Labels, alert map[string]string) bool {
	all := true
	ls.Range(func(l labels.Label) { all = all && (l.Name == model.MetricNameLabel || alert[l.Name] == l.Value) })
	return all
}

// narrowed asks for the alert's own series alone where that is easily said: a rule may look at thousands.
func narrowed(expr parser.Expr, rule *prometheusrules.AlertingRule, incident *incidents.Incident) string {
	selector, ok := expr.(*parser.VectorSelector)
	if !ok {
		return expr.String()
	}
	own := *selector
	own.LabelMatchers = append([]*labels.Matcher(nil), selector.LabelMatchers...)
	for _, name := range slices.Sorted(maps.Keys(incident.Labels)) {
		if name != model.AlertNameLabel && !rule.Labels().Has(name) {
			own.LabelMatchers = append(own.LabelMatchers, labels.MustNewMatcher(labels.MatchEqual, name, incident.Labels[name]))
		}
	}
	return own.String()
}

// plot returns what a rule looks at, without its comparison with a number, which would leave gaps, and that number.
func plot(expr parser.Expr) (looked parser.Expr, threshold *float64) {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return plot(e.Expr)
	case *parser.BinaryExpr:
		if e.Op == parser.LAND || e.Op == parser.LUNLESS {
			return plot(e.LHS)
		}
		if !e.Op.IsComparisonOperator() {
			break
		}
		if number, ok := e.RHS.(*parser.NumberLiteral); ok {
			return e.LHS, &number.Val
		}
		if number, ok := e.LHS.(*parser.NumberLiteral); ok {
			return e.RHS, &number.Val
		}
	}
	return expr, nil
}
