package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/silence/silencepb"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Send stores alerts, firing or resolved, to be grouped and notified. Invalid ones are left out and are the error.
func (d *Delivery) Send(ctx context.Context, alerts ...*alert.Alert) error {
	now := time.Now()
	valid := make([]*alert.Alert, 0, len(alerts))
	var errs []error
	for _, a := range alerts {
		a.UpdatedAt = now
		if err := a.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("alert %s: %w", a.Name(), err))
			continue
		}
		valid = append(valid, a)
	}
	return errors.Join(append(errs, d.alerts.Put(ctx, valid...))...)
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
	for _, a := range d.alerts.pending() {
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

func (d *Delivery) groups(ctx context.Context, routes func(*dispatch.Route) bool, alerts func(*alert.Alert, time.Time) bool) (
	dispatch.AlertGroups, map[model.Fingerprint][]string, error,
) {
	return d.pipeline.dispatcher.Groups(ctx, routes, alerts)
}

// acknowledges is the annotation of the silences that Silence makes.
const acknowledges = "otelcol_acknowledgement"

// Silence mutes the alerts that have all the given labels, and none whose value is given as empty, until the given time, and returns the silence's ID. With the ID of a
// silence for the same labels that one is prolonged; an ID that is not known (any more) makes a new one.
func (d *Delivery) Silence(ctx context.Context, id string, labels model.LabelSet, until time.Time, who, why string) (string, error) {
	s := &silencepb.Silence{
		Id: id, StartsAt: timestamppb.Now(), EndsAt: timestamppb.New(until), CreatedBy: who, Comment: why,
		MatcherSets: []*silencepb.MatcherSet{{}}, Annotations: map[string]string{acknowledges: "true"},
	}
	// Alertmanager prolongs a silence with the same start and matchers in the same order; any other takes its place and counts.
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		s.MatcherSets[0].Matchers = append(s.MatcherSets[0].Matchers,
			&silencepb.Matcher{Type: silencepb.Matcher_EQUAL, Name: string(name), Pattern: string(labels[name])})
	}
	if id != "" {
		if previous, _, err := d.silences.Query(ctx, silence.QIDs(id)); err == nil && len(previous) == 1 {
			s.StartsAt = previous[0].StartsAt
		} else {
			s.Id = ""
		}
	}
	if err := d.silences.Set(ctx, s); err != nil {
		return "", err
	}
	return s.Id, nil
}

// Silences returns the IDs of the silences in force that Silence has made, in earlier runs too. In a cluster it returns none, as they may be those of
// other members.
func (d *Delivery) Silences(ctx context.Context) []string {
	if d.peer != nil {
		return nil
	}
	found, _, err := d.silences.Query(ctx, silence.QState(silence.SilenceStateActive))
	if err != nil {
		d.cfg.Logger.Warn("silences cannot be listed", "err", err)
	}
	var ids []string
	for _, s := range found {
		if s.Annotations[acknowledges] != "" {
			ids = append(ids, s.Id)
		}
	}
	return ids
}

// Silenced says whether a silence is in force.
func (d *Delivery) Silenced(ctx context.Context, id string) bool {
	found, _, err := d.silences.Query(ctx, silence.QIDs(id), silence.QState(silence.SilenceStateActive))
	return err == nil && len(found) == 1
}

// Unsilence ends a silence.
func (d *Delivery) Unsilence(ctx context.Context, id string) error { return d.silences.Expire(ctx, id) }
