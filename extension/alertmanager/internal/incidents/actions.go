package incidents

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/rules"
)

// ErrUnknown says that there is no active incident of that ID.
var ErrUnknown = errors.New("no active alert has this ID")

// find returns a copy of an active incident and what its alerts have in common.
func (t *Tracker) find(id string) (Incident, model.LabelSet, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.active {
		if f.Incident.ID == id {
			return f.Incident, f.base(), nil
		}
	}
	return Incident{}, nil, fmt.Errorf("%w: %q", ErrUnknown, id)
}

// Incident returns an active incident.
func (t *Tracker) Incident(id string) (Incident, error) {
	i, _, err := t.find(id)
	return i, err
}

// acknowledged keeps the acknowledgement of an incident, or ends its silence when the incident is over meanwhile.
func (t *Tracker) acknowledged(ctx context.Context, id string, ack *Acknowledgement) {
	t.mu.Lock()
	for _, f := range t.active {
		if f.Incident.ID == id {
			f.Incident.Acknowledgement = ack
			if f.Incident.AcknowledgedAt.IsZero() {
				f.Incident.AcknowledgedAt = ack.At
			}
			t.dirty = true
			t.mu.Unlock()
			return
		}
	}
	t.mu.Unlock()
	if err := t.delivery.Unsilence(ctx, ack.Silence); err != nil {
		t.cfg.Logger.Warn("the silence of an acknowledgement stays", "err", err)
	}
}

// Acknowledge says that somebody takes care: nobody is notified again until the alert recovers, or until a time if that is not
// zero. Escalation steps stay quiet, too.
func (t *Tracker) Acknowledge(ctx context.Context, id, who, why string, until time.Time) error {
	now := time.Now()
	if who == "" {
		return errors.New("`who` must not be empty")
	}
	if !until.IsZero() && !until.After(now) {
		return fmt.Errorf("`until` must be in the future, found %s", until.Format(time.RFC3339))
	}
	t.acting.Lock()
	defer t.acting.Unlock()
	incident, common, err := t.find(id)
	if err != nil {
		return err
	}
	ack := &Acknowledgement{Who: who, Why: why, At: now, Until: until}
	ack.silencedUntil = ack.silenceUntil(now)
	replaced := ""
	if incident.Acknowledgement != nil {
		replaced = incident.Acknowledgement.Silence
	}
	ack.selector = t.selector(incident.Name, common)
	ack.Silence, err = t.delivery.Silence(ctx, replaced, ack.selector, ack.silencedUntil, who, comment(why))
	if err != nil {
		return fmt.Errorf("silence the alert: %w", err)
	}
	t.acknowledged(ctx, id, ack)
	e := incident.event(events.Acknowledged, now)
	e.Who, e.Why = who, why
	t.cfg.Bus.Publish(e)
	return nil
}

// Unacknowledge takes an acknowledgement back: people are notified again, and steps escalate. When it was acknowledged first stays known.
func (t *Tracker) Unacknowledge(ctx context.Context, id, who, why string) error {
	if who == "" {
		return errors.New("`who` must not be empty")
	}
	t.acting.Lock()
	defer t.acting.Unlock()
	incident, _, err := t.find(id)
	if err != nil {
		return err
	}
	if incident.Acknowledgement == nil {
		return fmt.Errorf("the alert %q is not acknowledged", id)
	}
	t.takeBack(id, time.Now(), who, why)
	t.cfg.Logger.Info("an acknowledgement has been taken back", "alert", incident.Name, "who", who, "why", why)
	if err := t.delivery.Unsilence(ctx, incident.Acknowledgement.Silence); err != nil {
		t.cfg.Logger.Warn("the silence of an acknowledgement has ended before", "alert", incident.Name, "err", err)
	}
	return nil
}

func (t *Tracker) takeBack(id string, now time.Time, who, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.active {
		if f.Incident.ID == id {
			t.unacknowledge(f, now, who, why)
		}
	}
}

// unacknowledge ends the acknowledgement of an incident, tells so, and escalates if a step has come to fire meanwhile. The caller holds mu.
func (t *Tracker) unacknowledge(f *followed, now time.Time, who, why string) {
	f.Incident.Acknowledgement = nil
	t.dirty = true
	e := f.Incident.event(events.Unacknowledged, now)
	e.Who, e.Why = who, why
	t.cfg.Bus.Publish(e)
	if last, number := f.step(now); number > 0 && string(last.Labels[SeverityLabel]) != f.Incident.Severity {
		t.escalate(f, last.Labels[SeverityLabel], now)
	}
}

// selector tells alerts that have these labels in common from others of their name, which may have them all and more: it has the labels, and as empty
// those that only others have.
func (t *Tracker) selector(name string, common model.LabelSet) model.LabelSet {
	others := model.LabelSet{SeverityLabel: ""} // others may come later, and this is what they differ in most
	t.mu.Lock()
	for _, f := range t.active {
		if f.Incident.Name == name {
			for label := range f.base() {
				others[label] = ""
			}
		}
	}
	t.mu.Unlock()
	if _, escalates := common[rules.EscalationFromLabel]; escalates {
		delete(others, SeverityLabel) // its own steps have that
		delete(others, rules.EscalationLabel)
	}
	maps.Copy(others, common)
	return others
}

func comment(why string) string {
	if why == "" {
		return "acknowledged"
	}
	return "acknowledged: " + why
}

// uphold renews an acknowledgement until recovery before its silence ends. One whose silence somebody has ended elsewhere, with amtool for example,
// is none any more, as people are notified. The caller holds acting.
func (t *Tracker) uphold(ctx context.Context, incident *Incident, now time.Time) {
	ack := incident.Acknowledgement
	switch {
	case !t.delivery.Silenced(ctx, ack.Silence):
		t.takeBack(incident.ID, now, "", "")
		t.cfg.Logger.Info("an acknowledgement is over, as its silence has been ended", "alert", incident.Name, "who", ack.Who)
	case ack.Until.IsZero() && ack.silencedUntil.Sub(now) < ackLease/2:
		t.renew(ctx, incident, now)
	}
}

// renew prolongs the silence of an acknowledgement. The caller holds acting.
func (t *Tracker) renew(ctx context.Context, incident *Incident, now time.Time) {
	_, common, err := t.find(incident.ID)
	if err != nil {
		return // it has recovered
	}
	renewed := *incident.Acknowledgement
	end := renewed.silenceUntil(now)
	selector := t.selector(incident.Name, common)
	maps.Copy(selector, renewed.selector) // what was empty once stays so, or another silence takes its place each time that one of the others comes or goes
	renewed.selector = selector
	renewed.Silence, err = t.delivery.Silence(ctx, renewed.Silence, selector, end, renewed.Who, comment(renewed.Why))
	if err != nil {
		t.cfg.Logger.Error("an acknowledgement cannot be renewed", "alert", incident.Name, "err", err)
		return
	}
	renewed.silencedUntil = end
	t.acknowledged(ctx, incident.ID, &renewed)
}

// Resolve ends an incident by hand. Its alerts stay quiet until their rule clears; when it is met again after that, it fires.
func (t *Tracker) Resolve(ctx context.Context, id, who, why string) error {
	now := time.Now()
	if who == "" {
		return errors.New("`who` must not be empty")
	}
	incident, common, err := t.find(id)
	if err != nil {
		return err
	}
	var alerts []*alert.Alert
	t.mu.Lock()
	key := common.Fingerprint()
	f := t.active[key]
	if f == nil || f.Incident.ID != id {
		t.mu.Unlock()
		return fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	quiet := suppression{At: now, Seen: now}
	t.suppressed[key] = quiet
	f.Incident.ResolvedBy, f.Incident.ResolvedAs = who, why
	for _, m := range f.Alerts {
		alerts = append(alerts, &alert.Alert{Alert: model.Alert{
			Labels: m.Labels, Annotations: m.Annotations, StartsAt: incident.StartedAt, EndsAt: now,
		}})
	}
	t.dirty = true
	t.mu.Unlock()
	if err := t.share(map[model.Fingerprint]suppression{key: quiet}); err != nil { // before its rule is evaluated again elsewhere
		return err
	}
	return t.delivery.Send(ctx, alerts...)
}
