package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/provider/mem"
)

// sharedAlerts is the store of alerts, which the members of a cluster have in common. Alertmanager's members share their notification
// log only and rely on Prometheus to send every alert to all of them. Our rules run in each member, over its own metrics: members
// that hold different alerts of one group would each find the other's notification incomplete, and notify again and again.
type sharedAlerts struct {
	*mem.Alerts
	// broadcast sends to the other members; nil without a cluster. It is set before the store is used.
	broadcast func([]byte)
}

// Put implements provider.Alerts.
func (s *sharedAlerts) Put(ctx context.Context, alerts ...*alert.Alert) error {
	if err := s.Alerts.Put(ctx, alerts...); err != nil || s.broadcast == nil || len(alerts) == 0 {
		return err
	}
	content, err := json.Marshal(alerts)
	if err != nil {
		return fmt.Errorf("encode alerts for the cluster: %w", err)
	}
	s.broadcast(content)
	return nil
}

// MarshalBinary implements cluster.State: all alerts, for a member that joins, or missed some.
func (s *sharedAlerts) MarshalBinary() ([]byte, error) { return json.Marshal(s.pending()) }

// Merge implements cluster.State: it takes over what another member knows better.
func (s *sharedAlerts) Merge(content []byte) error {
	var received []*alert.Alert
	if err := json.Unmarshal(content, &received); err != nil {
		return fmt.Errorf("alerts of another member: %w", err)
	}
	news, err := s.adopt(received)
	// What is too large for gossip goes to every member at once, and needs nobody to pass it on.
	if news > 0 && s.broadcast != nil && !cluster.OversizedMessage(content) {
		s.broadcast(content)
	}
	return err
}

// adopt stores the alerts that are newer than what is there, as they are, and returns their number. Invalid ones are left out and are
// the error.
func (s *sharedAlerts) adopt(alerts []*alert.Alert) (int, error) {
	var news []*alert.Alert
	var errs []error
	for _, a := range alerts {
		if a == nil {
			continue
		}
		if err := a.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("alert %s: %w", a.Name(), err))
			continue
		}
		if known, err := s.Get(a.Fingerprint()); err == nil && !known.UpdatedAt.Before(a.UpdatedAt) {
			continue
		}
		news = append(news, a)
	}
	return len(news), errors.Join(append(errs, s.Alerts.Put(context.Background(), news...))...)
}

// pending returns a copy of what the store has, resolved alerts included until they are collected.
func (s *sharedAlerts) pending() []*alert.Alert {
	iterator := s.GetPending()
	defer iterator.Close()
	all := []*alert.Alert{}
	for a := range iterator.Next() {
		all = append(all, a.Data)
	}
	return all
}
