package web

import (
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	prometheusrules "github.com/prometheus/prometheus/rules"
)

// rule is a rule with its state. State is inactive, pending, firing, or empty for a recording rule.
type rule struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Source      string            `json:"source"`
	Group       string            `json:"group"`
	Query       string            `json:"query"`
	PlotQuery   string            `json:"plot_query"`
	Threshold   *float64          `json:"threshold,omitempty"`
	For         float64           `json:"for_seconds"`
	Labels      map[string]string `json:"labels"`
	State       string            `json:"state,omitempty"`
	Active      int               `json:"active"`
	Health      string            `json:"health"`
	LastError   string            `json:"last_error,omitempty"`
	Evaluated   time.Time         `json:"last_evaluation,omitzero"`
	EvaluatedIn float64           `json:"evaluation_seconds"`
}

func (s *Server) rules(w http.ResponseWriter, _ *http.Request) {
	result := []rule{}
	for _, group := range s.Engine.Groups() {
		for _, r := range group.Rules() {
			result = append(result, describe(group, r))
		}
	}
	answer(w, http.StatusOK, result)
}

func describe(group *prometheusrules.Group, r prometheusrules.Rule) rule {
	described := rule{
		Name: r.Name(), Type: "recording", Source: group.File(), Group: group.Name(), Query: r.Query().String(),
		Labels: r.Labels().Map(), Health: string(r.Health()),
		Evaluated: r.GetEvaluationTimestamp(), EvaluatedIn: r.GetEvaluationDuration().Seconds(),
	}
	described.PlotQuery, described.Threshold = plot(r.Query())
	if err := r.LastError(); err != nil {
		described.LastError = err.Error()
	}
	if a, ok := r.(*prometheusrules.AlertingRule); ok {
		described.Type, described.State, described.Active = "alerting", a.State().String(), a.ActiveAlertsCount()
		described.For = a.HoldDuration().Seconds()
	}
	return described
}

// plot returns what a rule looks at, without its comparison with a number, which would leave gaps, and that number.
func plot(expr parser.Expr) (query string, threshold *float64) {
	if comparison, ok := expr.(*parser.BinaryExpr); ok {
		switch {
		case comparison.Op.IsComparisonOperator():
			if number, ok := comparison.RHS.(*parser.NumberLiteral); ok {
				return comparison.LHS.String(), &number.Val
			}
		case comparison.Op == parser.LAND:
			return plot(comparison.LHS)
		}
	}
	return expr.String(), nil
}
