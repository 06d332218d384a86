package incidents

import (
	"maps"
	"time"

	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/rules"
)

// SeverityLabel is the label that says how bad an alert is.
const SeverityLabel = "severity"

// Incident is an alert from firing to recovery.
type Incident struct {
	// ID is the fingerprint of what its alerts have in common, and the start.
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Severity    string            `json:"severity,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Source      string            `json:"source,omitempty"` // the generator's URL
	StartedAt   time.Time         `json:"started_at"`
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"`
	EscalatedAt time.Time         `json:"escalated_at,omitzero"`
	// AcknowledgedAt is when somebody acknowledged first; it stays when the acknowledgement ends.
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	// ResolvedBy is who resolved it by hand; empty for a recovery.
	ResolvedBy string `json:"resolved_by,omitempty"`
	ResolvedAs string `json:"resolved_because,omitempty"`
	// Acknowledgement is nil while nobody has acknowledged.
	Acknowledgement *Acknowledgement `json:"acknowledgement,omitempty"`
}

// Acknowledgement says that somebody takes care. It does not change; a new one takes its place.
type Acknowledgement struct {
	Who string    `json:"who"`
	Why string    `json:"why,omitempty"`
	At  time.Time `json:"at"`
	// Until is when it ends; zero is on recovery.
	Until time.Time `json:"until,omitzero"`
	// Silence is the ID of the silence that keeps notifications away meanwhile.
	Silence string `json:"silence,omitempty"`
	// silencedUntil is when the silence ends; unknown after a restart, which renews it.
	silencedUntil time.Time
	// selector is what the silence matches; unknown after a restart.
	selector model.LabelSet
}

// over says that the time is up of an acknowledgement that has one.
func (a *Acknowledgement) over(now time.Time) bool { return !a.Until.IsZero() && now.After(a.Until) }

// silenceUntil is how long the acknowledgement silences from now on before it has to be renewed.
func (a *Acknowledgement) silenceUntil(now time.Time) time.Time {
	if a.Until.IsZero() {
		return now.Add(ackLease)
	}
	return a.Until
}

// base is what the alerts of one incident have in common: for an alert that escalates and its steps, everything but the severity and the
// number of the step, and for any other alert everything. Two rules of one name and different severities are two incidents.
func base(labels model.LabelSet) model.LabelSet {
	if _, escalates := labels[rules.EscalationFromLabel]; !escalates {
		return labels
	}
	common := maps.Clone(labels)
	delete(common, SeverityLabel)
	delete(common, rules.EscalationLabel)
	return common
}

func plain(labels model.LabelSet) map[string]string {
	m := make(map[string]string, len(labels))
	for name, value := range labels {
		m[string(name)] = string(value)
	}
	return m
}

// LabelSet is the form of labels that Alertmanager has.
func LabelSet(labels map[string]string) model.LabelSet {
	set := make(model.LabelSet, len(labels))
	for name, value := range labels {
		set[model.LabelName(name)] = model.LabelValue(value)
	}
	return set
}

// event describes the incident as it is.
func (i *Incident) event(kind events.Kind, now time.Time) events.Event {
	return events.Event{
		Time: now, Kind: kind, Incident: i.ID, Name: i.Name, Severity: i.Severity, Labels: i.Labels, Annotations: i.Annotations,
	}
}
