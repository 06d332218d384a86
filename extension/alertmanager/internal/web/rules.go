package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
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

func (s *server) rules(w http.ResponseWriter, _ *http.Request) {
	result := []rule{}
	for _, group := range s.Engine.Groups() {
		for _, r := range group.Rules() {
			result = append(result, describe(group, r))
		}
	}
	s.answer(w, http.StatusOK, result)
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

// Bounds of a query: what a plot can show.
const (
	maxPoints = 2000
	maxSeries = 50
	// maxQueries run at a time: each may hold 80 MB.
	maxQueries = 4
)

// series is a course of values; points are [seconds since 1970, value].
type series struct {
	Labels map[string]string `json:"labels"`
	Points [][2]float64      `json:"points"`
}

func (s *server) queryRange(w http.ResponseWriter, r *http.Request) {
	query, start, end, step, err := rangeOf(r.URL.Query())
	if err != nil {
		s.fail(w, err)
		return
	}
	select {
	case s.queries <- struct{}{}:
		defer func() { <-s.queries }()
	case <-r.Context().Done():
		return
	}
	matrix, err := s.Engine.QueryRange(r.Context(), query, start, end, step)
	if err != nil {
		s.fail(w, err)
		return
	}
	result := []series{}
	for i := range matrix[:min(len(matrix), maxSeries)] {
		one := series{Labels: matrix[i].Metric.Map(), Points: [][2]float64{}}
		for _, p := range matrix[i].Floats {
			if !math.IsNaN(p.F) && !math.IsInf(p.F, 0) { // JSON has neither
				one.Points = append(one.Points, [2]float64{float64(p.T) / 1000, p.F})
			}
		}
		result = append(result, one)
	}
	s.answer(w, http.StatusOK, result)
}

func rangeOf(values url.Values) (query string, start, end time.Time, step time.Duration, err error) {
	var errs []error
	number := func(key string) float64 {
		f, err := strconv.ParseFloat(values.Get(key), 64)
		if err != nil || math.IsNaN(f) || math.Abs(f) > 1e11 {
			errs = append(errs, fmt.Errorf("`%s` must be a number of seconds, found %q", key, values.Get(key)))
		}
		return f
	}
	if query = values.Get("query"); query == "" {
		errs = append(errs, errors.New("`query` must not be empty"))
	}
	from, to, width := number("start"), number("end"), number("step")
	if len(errs) == 0 && (width < 1 || to < from || (to-from)/width > maxPoints) {
		errs = append(errs, fmt.Errorf("from `start` to `end` there must be at most %d steps of at least one second, found start %g, end %g, step %g",
			maxPoints, from, to, width))
	}
	seconds := func(f float64) time.Time { return time.UnixMilli(int64(f * 1000)) }
	return query, seconds(from), seconds(to), time.Duration(width * float64(time.Second)), errors.Join(errs...)
}
