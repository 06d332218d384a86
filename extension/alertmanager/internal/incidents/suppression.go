package incidents

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
)

// suppression keeps an alert resolved that somebody resolved by hand, until its rule clears or nobody reports it any more.
type suppression struct {
	At   time.Time `json:"at"`
	Seen time.Time `json:"seen"`
	// Cleared is when the rule cleared, after which it keeps nothing any more; others learn so for as long as it is remembered.
	Cleared time.Time `json:"cleared,omitzero"`
	// AnySeverity is of one that was read from a file of version 1, whose key is withoutSeverity.
	AnySeverity bool `json:"any_severity,omitempty"`
}

// forgotten says that nobody has reported the alert for so long that it is over.
func (t *Tracker) forgotten(s suppression, now time.Time) bool {
	return now.Sub(s.Seen) > max(5*time.Minute, 4*t.cfg.Interval)
}

// Admit is called for every alert before it is stored, and keeps one that was resolved by hand resolved.
func (t *Tracker) Admit(a *alert.Alert) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := base(a.Labels).Fingerprint()
	s, found := t.suppressed[key]
	if !found && t.anySeverity {
		key = withoutSeverity(a.Labels)
		s, found = t.suppressed[key]
		found = found && s.AnySeverity
	}
	if !found || !s.Cleared.IsZero() {
		return
	}
	t.dirty = true
	if a.Resolved() {
		// The end that Resolve itself sends is not the rule's.
		if !a.EndsAt.Equal(s.At) {
			s.Cleared = time.Now()
			t.suppressed[key] = s
		}
		return
	}
	s.Seen = time.Now()
	t.suppressed[key] = s
	a.EndsAt = s.At
	if a.StartsAt.After(a.EndsAt) {
		a.StartsAt = a.EndsAt
	}
}

// The members of a cluster have in common what was resolved by hand. An alert is known to all of them, and whoever resolves one whose rule is
// evaluated by another would have it told as firing by that one, and as resolved by itself, again and again.

// SetBroadcast sets what sends to the other members.
func (t *Tracker) SetBroadcast(broadcast func([]byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broadcast = broadcast
}

// MarshalBinary implements cluster.State: all of it, for a member that joins, or missed some.
func (t *Tracker) MarshalBinary() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return json.Marshal(t.suppressed)
}

// Merge implements cluster.State: it takes over what another member knows and passes on what is new.
func (t *Tracker) Merge(content []byte) error {
	var received map[model.Fingerprint]suppression
	if err := json.Unmarshal(content, &received); err != nil {
		return fmt.Errorf("what another member has resolved by hand: %w", err)
	}
	now := time.Now()
	news := map[model.Fingerprint]suppression{}
	t.mu.Lock()
	for key, r := range received {
		known, found := t.suppressed[key]
		switch {
		case t.forgotten(r, now):
			continue
		case !found || r.At.After(known.At):
			news[key] = r
		case r.At.Equal(known.At):
			if r.Seen.After(known.Seen) {
				known.Seen = r.Seen
			}
			if known.Cleared.IsZero() && !r.Cleared.IsZero() {
				known.Cleared = r.Cleared
				news[key] = known
			}
			r = known
		default:
			continue
		}
		t.suppressed[key] = r
		t.anySeverity = t.anySeverity || r.AnySeverity
		t.dirty = true
	}
	t.mu.Unlock()
	return t.share(news)
}

// share sends to the other members what has been resolved by hand, or has cleared.
func (t *Tracker) share(news map[model.Fingerprint]suppression) error {
	t.mu.Lock()
	broadcast := t.broadcast
	t.mu.Unlock()
	if broadcast == nil || len(news) == 0 {
		return nil
	}
	content, err := json.Marshal(news)
	if err != nil {
		return fmt.Errorf("encode what is resolved by hand for the cluster: %w", err)
	}
	broadcast(content)
	return nil
}
