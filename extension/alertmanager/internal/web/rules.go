package web

import (
	"net/http"
	"time"

	prometheusrules "github.com/prometheus/prometheus/rules"
)

// rule is a rule with its state. State is unknown before the first evaluation, then inactive, pending or firing;
// it is empty for a recording rule.
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
	expr, threshold := plot(r.Query())
	described.PlotQuery, described.Threshold = expr.String(), threshold
	if err := r.LastError(); err != nil {
		described.LastError = err.Error()
	}
	if a, ok := r.(*prometheusrules.AlertingRule); ok {
		described.Type, described.State, described.Active = "alerting", a.State().String(), a.ActiveAlertsCount()
		described.For = a.HoldDuration().Seconds()
	}
	return described
}
