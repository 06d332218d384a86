package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Send stores alerts, firing or resolved, to be grouped and notified.
func (d *Delivery) Send(ctx context.Context, alerts ...*alert.Alert) error {
	now := time.Now()
	for _, a := range alerts {
		a.UpdatedAt = now
		if err := a.Validate(); err != nil {
			return fmt.Errorf("alert %s: %w", a.Name(), err)
		}
	}
	return d.alerts.Put(ctx, alerts...)
}

// Active is an alert that fires, and why nobody is told if so.
type Active struct {
	*alert.Alert
	SilencedBy, InhibitedBy []string
}

// Active returns the alerts that fire now, oldest first.
func (d *Delivery) Active() []Active {
	marks := marker.NewAlertMarker()
	ctx := marker.WithContext(context.Background(), marks)
	var active []Active
	for _, a := range d.pending() {
		if a.Resolved() {
			continue
		}
		d.pipeline.inhibitor.Mutes(ctx, a.Labels)
		d.silencer.Mutes(ctx, a.Labels)
		status := marks.Status(a.Fingerprint())
		active = append(active, Active{Alert: a, SilencedBy: status.SilencedBy, InhibitedBy: status.InhibitedBy})
	}
	slices.SortFunc(active, func(a, b Active) int { return a.StartsAt.Compare(b.StartsAt) })
	return active
}

// Get returns the alert of a fingerprint, or false.
func (d *Delivery) Get(fingerprint model.Fingerprint) (*alert.Alert, bool) {
	a, err := d.alerts.Get(fingerprint)
	return a, err == nil
}

// pending returns a copy of what the store has, resolved alerts included until they are collected.
func (d *Delivery) pending() []*alert.Alert {
	iterator := d.alerts.GetPending()
	defer iterator.Close()
	var all []*alert.Alert
	for a := range iterator.Next() {
		all = append(all, a.Data)
	}
	return all
}

func (d *Delivery) groups(ctx context.Context, routes func(*dispatch.Route) bool, alerts func(*alert.Alert, time.Time) bool) (
	dispatch.AlertGroups, map[model.Fingerprint][]string, error,
) {
	return d.pipeline.dispatcher.Groups(ctx, routes, alerts)
}

// Silence mutes the alerts that have all the given labels until the given time, and returns the silence's ID. An ID replaces
// that silence.
func (d *Delivery) Silence(ctx context.Context, id string, labels model.LabelSet, until time.Time, who, why string) (string, error) {
	s := &silencepb.Silence{
		Id: id, StartsAt: timestamppb.Now(), EndsAt: timestamppb.New(until), CreatedBy: who, Comment: why,
		MatcherSets: []*silencepb.MatcherSet{{}},
	}
	for name, value := range labels {
		s.MatcherSets[0].Matchers = append(s.MatcherSets[0].Matchers,
			&silencepb.Matcher{Type: silencepb.Matcher_EQUAL, Name: string(name), Pattern: string(value)})
	}
	if err := d.silences.Set(ctx, s); err != nil {
		return "", err
	}
	return s.Id, nil
}

// Unsilence ends a silence.
func (d *Delivery) Unsilence(ctx context.Context, id string) error { return d.silences.Expire(ctx, id) }

// LabelMap returns a copy of the labels.
func (a Active) LabelMap() map[string]string {
	labels := make(map[string]string, len(a.Labels))
	for name, value := range a.Labels {
		labels[string(name)] = string(value)
	}
	return labels
}
