package incidents

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/rules"
)

const (
	// sweepInterval is how often alerts are looked through for what nobody reports: those that ended by time.
	sweepInterval = 5 * time.Second
	// ackLease is how long an acknowledgement until recovery silences at a time; it is renewed while the alert fires.
	ackLease = 30 * time.Minute
	// maxActive bounds the incidents that are followed; further ones are delivered all the same.
	maxActive = 20_000
)

// Delivery is what the tracker asks of delivery.
type Delivery interface {
	Silence(ctx context.Context, id string, labels model.LabelSet, until time.Time, who, why string) (string, error)
	Silences(ctx context.Context) []string
	Silenced(ctx context.Context, id string) bool
	Unsilence(ctx context.Context, id string) error
	Send(ctx context.Context, alerts ...*alert.Alert) error
}

// Config describes a tracker.
type Config struct {
	Directory string
	Bus       *events.Bus
	Logger    *slog.Logger
	// Interval is how often rules report alerts at least.
	Interval time.Duration
	// MaxHistory bounds the resolved incidents that are kept.
	MaxHistory int
}

// followed is an active incident and its alerts by fingerprint.
type followed struct {
	Incident Incident                     `json:"incident"`
	Alerts   map[model.Fingerprint]member `json:"alerts"`
}

// member is an alert of an incident.
type member struct {
	Labels      model.LabelSet `json:"labels"`
	Annotations model.LabelSet `json:"annotations"`
	EndsAt      time.Time      `json:"ends_at"`
}

func (m *member) ended(now time.Time) bool { return !m.EndsAt.IsZero() && !m.EndsAt.After(now) }

// base is what the alerts of the incident have in common.
func (f *followed) base() model.LabelSet { return base(LabelSet(f.Incident.Labels)) }

// step returns the last step of the escalation that fires, and its number; 0 is none.
func (f *followed) step(now time.Time) (last member, number int) {
	for _, m := range f.Alerts {
		if n, err := strconv.Atoi(string(m.Labels[rules.EscalationLabel])); err == nil && n > number && !m.ended(now) {
			last, number = m, n
		}
	}
	return last, number
}

// ended says that all of its alerts are over.
func (f *followed) ended(now time.Time) bool {
	for _, m := range f.Alerts {
		if !m.ended(now) {
			return false
		}
	}
	return true
}

// Tracker follows incidents. All methods may be called at the same time.
type Tracker struct {
	cfg     Config
	history *history

	mu         sync.Mutex
	active     map[model.Fingerprint]*followed // by the fingerprint of their base
	suppressed map[model.Fingerprint]suppression
	// broadcast sends to the other members of a cluster; nil without one. It is not called under mu.
	broadcast func([]byte)
	// anySeverity says that there were suppressions from a file of version 1.
	anySeverity bool
	pending     map[string]bool
	untracked   int64
	dirty       bool
	// stateFailed and historyFailed say that the last attempt to write them failed.
	stateFailed, historyFailed bool
	// writeFailures counts those of the state and of the history.
	writeFailures int64

	// acting is held by whoever changes an acknowledgement and its silence, before mu: a silence belongs to one of them.
	acting   sync.Mutex
	delivery Delivery
	pendings func() []events.Event
}

// New reads what an earlier run has left in the directory.
func New(cfg Config) (*Tracker, error) {
	h, err := openHistory(cfg.Directory, cfg.MaxHistory)
	if err != nil {
		return nil, err
	}
	if h.damaged > 0 {
		cfg.Logger.Warn("lines of the history of alerts cannot be read and are left out", "lines", h.damaged)
	}
	t := &Tracker{
		cfg: cfg, history: h,
		active: map[model.Fingerprint]*followed{}, suppressed: map[model.Fingerprint]suppression{}, pending: map[string]bool{},
	}
	if err := t.load(); err != nil {
		cfg.Logger.Warn("incidents of an earlier run are forgotten", "err", err)
	}
	return t, nil
}

// Connect tells the tracker where alerts are delivered and which wait for their `for`, and silences again what an earlier run has left acknowledged:
// the process may have been down for longer than the silence. A silence whose acknowledgement was not written to disk any more ends. It is called once, before Run, before any alert is delivered and before anybody
// acts on one. Until Run it does not ask for pending alerts.
func (t *Tracker) Connect(ctx context.Context, d Delivery, pendings func() []events.Event) {
	t.delivery, t.pendings = d, pendings
	now := time.Now()
	t.acting.Lock()
	defer t.acting.Unlock()
	for _, i := range t.Active() {
		if i.Acknowledgement != nil && !i.Acknowledgement.over(now) {
			t.renew(ctx, &i, now)
		}
	}
	held := map[string]bool{}
	for _, i := range t.Active() {
		if i.Acknowledgement != nil {
			held[i.Acknowledgement.Silence] = true
		}
	}
	for _, id := range d.Silences(ctx) {
		if held[id] {
			continue
		}
		t.cfg.Logger.Warn("an acknowledgement from before the restart is forgotten", "silence", id)
		if err := d.Unsilence(ctx, id); err != nil {
			t.cfg.Logger.Warn("the silence of an acknowledgement stays", "silence", id, "err", err)
		}
	}
}

// Run looks for what nobody reports until ctx is done, and keeps the state on disk.
func (t *Tracker) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			t.save()
			return
		case <-ticker.C:
			t.sweep(ctx)
			t.tellPending()
			t.save()
		}
	}
}

// Observe is called for every alert after it is stored.
func (t *Tracker) Observe(a *alert.Alert) {
	now := time.Now()
	key := base(a.Labels).Fingerprint()
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.active[key]
	if f == nil {
		if a.Resolved() {
			return
		}
		if len(t.active) >= maxActive {
			t.untracked++
			return
		}
		f = t.open(key, a, now)
	}
	t.dirty = true
	step := string(a.Labels[rules.EscalationLabel])
	// A step that fires while somebody takes care escalates when that ends.
	if _, known := f.Alerts[a.Fingerprint()]; !known && step != "" && !a.Resolved() && f.Incident.Acknowledgement == nil {
		t.escalate(f, a.Labels[SeverityLabel], now)
	}
	if step == "" && !a.Resolved() {
		f.Incident.Annotations = plain(a.Annotations)
	}
	f.Alerts[a.Fingerprint()] = member{Labels: a.Labels, Annotations: a.Annotations, EndsAt: a.EndsAt}
}

// escalate raises the severity of an incident and tells so. The caller holds mu.
func (t *Tracker) escalate(f *followed, severity model.LabelValue, now time.Time) {
	f.Incident.EscalatedAt, f.Incident.Severity = now, string(severity)
	t.cfg.Bus.Publish(f.Incident.event(events.Escalated, now))
}

func (t *Tracker) open(key model.Fingerprint, a *alert.Alert, now time.Time) *followed {
	f := &followed{Alerts: map[model.Fingerprint]member{}, Incident: Incident{
		ID: fmt.Sprintf("%s-%d", key, a.StartsAt.Unix()), Name: a.Name(), Severity: string(a.Labels[SeverityLabel]),
		Labels: plain(a.Labels), Annotations: plain(a.Annotations), Source: a.GeneratorURL, StartedAt: a.StartsAt,
	}}
	t.active[key] = f
	t.cfg.Bus.Publish(f.Incident.event(events.Firing, now))
	return f
}

// sweep ends incidents of which every alert has ended, and looks after acknowledgements.
func (t *Tracker) sweep(ctx context.Context) {
	now := time.Now()
	var held, release []Incident
	t.acting.Lock()
	defer t.acting.Unlock()
	t.mu.Lock()
	for key, f := range t.active {
		ack := f.Incident.Acknowledgement
		switch {
		case f.ended(now):
			t.close(key, f, now)
			if ack != nil {
				release = append(release, f.Incident)
			}
		case ack != nil && ack.over(now):
			t.unacknowledge(f, now, "", "") // the silence has ended by itself
		case ack != nil:
			held = append(held, f.Incident)
		}
	}
	for key, s := range t.suppressed {
		if t.forgotten(s, now) {
			delete(t.suppressed, key)
			t.dirty = true
		}
	}
	t.mu.Unlock()

	for i := range held {
		t.uphold(ctx, &held[i], now)
	}
	t.release(ctx, release)
}

// BeforeNotify ends the acknowledgements of incidents of which these alerts were the last. Their silences would mute the end, which delivery then
// forgets without having told anybody, and takes the next time that they fire for the same as this.
func (t *Tracker) BeforeNotify(ctx context.Context, alerts []*alert.Alert) {
	if !slices.ContainsFunc(alerts, (*alert.Alert).Resolved) {
		return
	}
	now := time.Now()
	var release []Incident
	t.acting.Lock() // whoever has ended an incident ends its silence before it lets go
	defer t.acting.Unlock()
	t.mu.Lock()
	for _, a := range alerts {
		key := base(a.Labels).Fingerprint()
		if f := t.active[key]; f != nil && f.Incident.Acknowledgement != nil && f.ended(now) {
			t.close(key, f, now)
			release = append(release, f.Incident)
		}
	}
	t.mu.Unlock()
	t.release(ctx, release)
}

// release ends the silences of incidents that are over. The caller holds acting.
func (t *Tracker) release(ctx context.Context, over []Incident) {
	for i := range over {
		if err := t.delivery.Unsilence(ctx, over[i].Acknowledgement.Silence); err != nil {
			t.cfg.Logger.Warn("the silence of an acknowledgement stays", "alert", over[i].Name, "err", err)
		}
	}
}

// close moves an incident to the history. The caller holds mu.
func (t *Tracker) close(key model.Fingerprint, f *followed, now time.Time) {
	f.Incident.ResolvedAt = f.Incident.StartedAt
	for _, m := range f.Alerts {
		if m.EndsAt.After(f.Incident.ResolvedAt) {
			f.Incident.ResolvedAt = m.EndsAt
		}
	}
	delete(t.active, key)
	t.dirty = true
	t.history.add(f.Incident)
	e := f.Incident.event(events.Resolved, now)
	e.Who, e.Why = f.Incident.ResolvedBy, f.Incident.ResolvedAs
	t.cfg.Bus.Publish(e)
}

func (t *Tracker) tellPending() {
	now := map[string]bool{}
	for _, e := range t.pendings() {
		key := e.Name + LabelSet(e.Labels).String()
		now[key] = true
		t.mu.Lock()
		known := t.pending[key]
		t.mu.Unlock()
		if !known {
			t.cfg.Bus.Publish(e)
		}
	}
	t.mu.Lock()
	t.pending = now
	t.mu.Unlock()
}

// Notified tells the bus of an attempt to notify.
func (t *Tracker) Notified(n delivery.Notification) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range n.Alerts {
		e := events.Event{
			Time: now, Kind: events.Notified, Name: a.Name(), Severity: string(a.Labels[SeverityLabel]), Labels: plain(a.Labels),
			Receiver: n.Receiver, Integration: n.Integration,
		}
		if f := t.active[base(a.Labels).Fingerprint()]; f != nil {
			e.Incident = f.Incident.ID
		}
		if n.Err != nil {
			e.Kind, e.Error = events.NotifyFailed, n.Err.Error()
		}
		t.cfg.Bus.Publish(e)
	}
}

// Active returns the incidents that are not over, newest first.
func (t *Tracker) Active() []Incident {
	t.mu.Lock()
	defer t.mu.Unlock()
	active := make([]Incident, 0, len(t.active))
	for _, f := range t.active {
		active = append(active, f.Incident)
	}
	slices.SortFunc(active, func(a, b Incident) int { return b.StartedAt.Compare(a.StartedAt) })
	return active
}
