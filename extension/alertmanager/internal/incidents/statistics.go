package incidents

import (
	"slices"
	"strings"
	"time"
)

// History returns resolved incidents, newest first.
func (t *Tracker) History(q Query) []Incident { return t.history.query(q) }

// Statistics are figures of the incidents of one rule and severity. Means are over those that have what is meant; without any, they
// are zero.
type Statistics struct {
	Name     string `json:"name"`
	Severity string `json:"severity,omitempty"`
	// Count includes active incidents.
	Count  int `json:"count"`
	Active int `json:"active"`
	// Firing is the time that all of them together have fired.
	Firing            Seconds `json:"firing_seconds"`
	MeanToAcknowledge Seconds `json:"mean_seconds_to_acknowledge"`
	MeanToResolve     Seconds `json:"mean_seconds_to_resolve"`
}

// Seconds is a duration that is written as a number of seconds.
type Seconds float64

// Statistics sums up the incidents that a query selects, active ones included.
func (t *Tracker) Statistics(q Query) []Statistics {
	now := time.Now()
	type sums struct {
		Statistics
		acknowledged, resolved         int
		toAcknowledge, toResolve, fire time.Duration
	}
	all := map[[2]string]*sums{}
	count := func(i *Incident, end time.Time) *sums {
		key := [2]string{i.Name, i.Severity}
		s := all[key]
		if s == nil {
			s = &sums{Statistics: Statistics{Name: i.Name, Severity: i.Severity}}
			all[key] = s
		}
		s.Count++
		s.fire += end.Sub(i.StartedAt)
		if !i.AcknowledgedAt.IsZero() {
			s.acknowledged++
			s.toAcknowledge += i.AcknowledgedAt.Sub(i.StartedAt)
		}
		return s
	}
	for _, i := range t.history.query(q) {
		s := count(&i, i.ResolvedAt)
		s.resolved++
		s.toResolve += i.ResolvedAt.Sub(i.StartedAt)
	}
	for _, i := range t.Active() {
		i.ResolvedAt = now
		if q.matches(&i) {
			count(&i, now).Active++
		}
	}
	result := make([]Statistics, 0, len(all))
	for _, s := range all {
		s.Firing = Seconds(s.fire.Seconds())
		s.MeanToAcknowledge = mean(s.toAcknowledge, s.acknowledged)
		s.MeanToResolve = mean(s.toResolve, s.resolved)
		result = append(result, s.Statistics)
	}
	slices.SortFunc(result, func(a, b Statistics) int {
		return strings.Compare(a.Name+"\x00"+a.Severity, b.Name+"\x00"+b.Severity)
	})
	return result
}

func mean(sum time.Duration, n int) Seconds {
	if n == 0 {
		return 0
	}
	return Seconds(sum.Seconds() / float64(n))
}
