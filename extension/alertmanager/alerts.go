package alertmanager

import (
	"context"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/notifier"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
)

// send hands what the rules found to delivery and to the Alertmanagers elsewhere.
func (e *Extension) send(ctx context.Context, link string, found []*prometheusrules.Alert) {
	if len(found) == 0 {
		return
	}
	delivered := make([]*alert.Alert, len(found))
	for i, f := range found {
		end := f.ResolvedAt
		if end.IsZero() {
			end = f.ValidUntil // it is over by itself when nobody reports it any more
		}
		delivered[i] = &alert.Alert{Alert: model.Alert{
			Labels: labelSet(f.Labels), Annotations: labelSet(f.Annotations), StartsAt: f.FiredAt, EndsAt: end, GeneratorURL: link,
		}}
	}
	if err := e.delivery.Send(ctx, delivered...); err != nil {
		e.set.Logger.Error("alerts cannot be delivered", zap.Error(err))
	}
	if e.external == nil {
		return
	}
	forwarded := make([]*notifier.Alert, len(found))
	for i, f := range found {
		d := delivered[i]
		forwarded[i] = &notifier.Alert{
			Labels: f.Labels, Annotations: f.Annotations, StartsAt: d.StartsAt, EndsAt: d.EndsAt, GeneratorURL: link,
		}
	}
	e.external.Send(forwarded...)
}

func labelSet(ls labels.Labels) model.LabelSet {
	set := make(model.LabelSet, ls.Len())
	ls.Range(func(l labels.Label) { set[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return set
}

// pending lists the alerts whose condition holds and whose `for` is not over.
func (e *Extension) pending() []events.Event {
	now := time.Now()
	var waiting []events.Event
	for _, group := range e.engine.Groups() {
		for _, rule := range group.AlertingRules() {
			for _, a := range rule.ActiveAlerts() {
				if a.State != prometheusrules.StatePending {
					continue
				}
				waiting = append(waiting, events.Event{
					Time: now, Kind: events.Pending, Name: rule.Name(), Severity: a.Labels.Get(incidents.SeverityLabel),
					Labels: a.Labels.Map(), Annotations: a.Annotations.Map(),
				})
			}
		}
	}
	return waiting
}
