package incidents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
)

// store stands for delivery: it keeps silences and calls the tracker as the real store does.
type store struct {
	tracker  *Tracker
	silences map[string]time.Time
	labels   model.LabelSet
	fail     error
}

func (s *store) Silence(_ context.Context, id string, labels model.LabelSet, until time.Time, _, _ string) (string, error) {
	if s.fail != nil {
		return "", s.fail
	}
	if id == "" {
		id = fmt.Sprint("silence-", len(s.silences))
	}
	s.silences[id], s.labels = until, labels
	return id, nil
}

func (s *store) Silences(context.Context) []string { return slices.Collect(maps.Keys(s.silences)) }

func (s *store) Silenced(_ context.Context, id string) bool { return s.silences[id].After(time.Now()) }

func (s *store) Unsilence(_ context.Context, id string) error {
	if _, found := s.silences[id]; !found {
		return errors.New("no such silence")
	}
	delete(s.silences, id)
	return nil
}

func (s *store) Send(_ context.Context, alerts ...*alert.Alert) error {
	for _, a := range alerts {
		s.tracker.Admit(a)
		s.tracker.Observe(a)
	}
	return nil
}

// logged is a log that may be read while it is written.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// world is a tracker that runs in virtual time.
type world struct {
	*Tracker
	store  *store
	events <-chan events.Event
	log    *logged
	pend   atomic.Pointer[[]events.Event]
	stop   func()
}

func begin(t *testing.T, directory string) *world {
	t.Helper()
	w := &world{log: &logged{}}
	bus := &events.Bus{}
	tracker, err := New(Config{Directory: directory, Bus: bus, Logger: slog.New(slog.NewTextHandler(w.log, nil)), MaxHistory: 3})
	require.NoError(t, err)
	w.Tracker, w.store = tracker, &store{tracker: tracker, silences: map[string]time.Time{}}
	w.events, err = bus.Subscribe(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	tracker.Connect(ctx, w.store, func() []events.Event {
		if pending := w.pend.Load(); pending != nil {
			return *pending
		}
		return nil
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tracker.Run(ctx)
	}()
	synctest.Wait()
	w.stop = func() {
		cancel()
		<-ended
		require.NoError(t, tracker.Close())
	}
	return w
}

// pass lets time pass, and what is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told returns what has been published so far.
func (w *world) told() []events.Kind {
	var kinds []events.Kind
	for {
		select {
		case e := <-w.events:
			kinds = append(kinds, e.Kind)
		default:
			return kinds
		}
	}
}

func (w *world) fire(t *testing.T, labels model.LabelSet) {
	t.Helper()
	set := model.LabelSet{"alertname": "Slow", "severity": "warning"}
	for name, value := range labels {
		set[name] = value
	}
	require.NoError(t, w.store.Send(t.Context(), &alert.Alert{Alert: model.Alert{
		Labels: set, Annotations: model.LabelSet{"summary": "slow"}, StartsAt: time.Now(), EndsAt: time.Now().Add(4 * time.Minute),
	}}))
}

func (w *world) clear(t *testing.T, labels model.LabelSet) {
	t.Helper()
	set := model.LabelSet{"alertname": "Slow", "severity": "warning"}
	for name, value := range labels {
		set[name] = value
	}
	require.NoError(t, w.store.Send(t.Context(), &alert.Alert{Alert: model.Alert{
		Labels: set, StartsAt: time.Now().Add(-time.Minute), EndsAt: time.Now(),
	}}))
}

func (w *world) only(t *testing.T) Incident {
	t.Helper()
	active := w.Active()
	require.Len(t, active, 1)
	return active[0]
}

func TestAnAlertFiresEscalatesAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		first := model.LabelSet{"escalation_from": "warning"}
		step := model.LabelSet{"severity": "critical", "escalation": "1", "escalation_from": "warning"}
		w.fire(t, first)
		pass(3 * time.Minute)
		w.fire(t, first)
		w.fire(t, step)
		w.fire(t, step)
		i := w.only(t)
		assert.Equal(t, "critical", i.Severity)
		assert.False(t, i.EscalatedAt.IsZero())
		w.clear(t, step)
		pass(sweepInterval)
		assert.Len(t, w.Active(), 1, "the first step still fires")
		w.clear(t, first)
		pass(sweepInterval)
		assert.Empty(t, w.Active())
		assert.Equal(t, []events.Kind{events.Firing, events.Escalated, events.Resolved}, w.told())
		past := w.History(Query{})
		require.Len(t, past, 1)
		assert.Equal(t, 3*time.Minute+sweepInterval, past[0].ResolvedAt.Sub(past[0].StartedAt))
		assert.Equal(t, "slow", past[0].Annotations["summary"])
	})
}

func TestWhatNobodyReportsAnyMoreIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.fire(t, nil)
		pass(4*time.Minute - time.Second)
		assert.Len(t, w.Active(), 1)
		pass(time.Second + sweepInterval)
		assert.Empty(t, w.Active())
		w.clear(t, nil)
		assert.Empty(t, w.Active(), "an end without a beginning is none")
	})
}

func TestResolvedByHandStaysQuietUntilTheRuleClears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.fire(t, nil)
		require.NoError(t, w.Resolve(t.Context(), w.only(t).ID, "ann", "known"))
		pass(sweepInterval)
		assert.Empty(t, w.Active())
		past := w.History(Query{})
		require.Len(t, past, 1)
		assert.Equal(t, "ann", past[0].ResolvedBy)
		for range 10 {
			pass(time.Minute)
			w.fire(t, nil)
			assert.Empty(t, w.Active(), "its rule still says so")
		}
		w.clear(t, nil)
		w.fire(t, nil)
		assert.Len(t, w.Active(), 1, "it cleared, and came back")
		require.NoError(t, w.Resolve(t.Context(), w.only(t).ID, "ann", ""))
		pass(10 * time.Minute)
		w.fire(t, nil)
		assert.Len(t, w.Active(), 1, "nobody reported it for long: it cleared")
		assert.ErrorContains(t, w.Resolve(t.Context(), "x", "ann", ""), "no active alert")
		assert.ErrorContains(t, w.Resolve(t.Context(), "x", "", ""), "`who`")
	})
}

func TestARestartForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := t.TempDir()
		w := begin(t, directory)
		w.fire(t, model.LabelSet{"host": "a"})
		require.NoError(t, w.Acknowledge(t.Context(), w.only(t).ID, "ann", "looking", time.Time{}))
		w.fire(t, model.LabelSet{"host": "b"})
		for _, i := range w.Active() {
			if i.Labels["host"] == "b" {
				require.NoError(t, w.Resolve(t.Context(), i.ID, "bob", ""))
			}
		}
		pass(sweepInterval)
		before := w.only(t)
		w.stop()

		w = begin(t, directory)
		defer w.stop()
		after := w.only(t)
		assert.Equal(t, before.ID, after.ID)
		assert.Equal(t, "looking", after.Acknowledgement.Why)
		assert.Len(t, w.History(Query{}), 1)
		assert.Equal(t, map[string]time.Time{after.Acknowledgement.Silence: time.Now().Add(ackLease)}, w.store.silences, "renewed")
		w.fire(t, model.LabelSet{"host": "b"})
		assert.Len(t, w.Active(), 1, "resolved by hand before")
		assert.Empty(t, w.log.String())
	})
}

func TestPendingAndNotifiedAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		w.pend.Store(&[]events.Event{{Kind: events.Pending, Name: "Soon", Labels: map[string]string{"a": "b"}}})
		pass(3 * sweepInterval)
		assert.Equal(t, []events.Kind{events.Pending}, w.told(), "once")
		w.pend.Store(nil)
		pass(sweepInterval)
		w.fire(t, nil)
		a := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "Slow", "severity": "warning"}}}
		w.Notified(delivery.Notification{Receiver: "r", Integration: "email", Alerts: []*alert.Alert{a}})
		w.Notified(delivery.Notification{Receiver: "r", Integration: "email", Alerts: []*alert.Alert{a}, Err: errors.New("refused")})
		<-w.events
		sent, failed := <-w.events, <-w.events
		assert.Equal(t, events.Notified, sent.Kind)
		assert.Equal(t, w.only(t).ID, sent.Incident)
		assert.Equal(t, events.NotifyFailed, failed.Kind)
		assert.Equal(t, "refused", failed.Error)
	})
}

func TestRecoveriesThatCannotBeWrittenAreTriedOncePerSweepAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := t.TempDir()
		w := begin(t, directory)
		path := filepath.Join(directory, "history.jsonl")
		require.NoError(t, os.Mkdir(path, 0o700)) // cannot be written now
		for _, host := range []model.LabelValue{"a", "b", "c"} {
			w.fire(t, model.LabelSet{"host": host})
			w.clear(t, model.LabelSet{"host": host})
		}
		pass(2 * sweepInterval)
		assert.Equal(t, int64(2), w.Stats().WriteFailures)
		assert.Equal(t, 1, strings.Count(w.log.String(), "the history of alerts cannot be written to disk"))
		assert.Len(t, w.History(Query{}), 3)
		require.NoError(t, os.Remove(path))
		pass(sweepInterval)
		assert.Contains(t, w.log.String(), "the history of alerts is written to disk again")
		w.stop()

		w = begin(t, directory)
		defer w.stop()
		assert.Len(t, w.History(Query{}), 3)
	})
}

func TestADiskThatFailsCostsARestartItsMemoryAndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := t.TempDir()
		w := begin(t, directory)
		require.NoError(t, os.Mkdir(filepath.Join(directory, "incidents.json.new"), 0o700)) // cannot be written now
		for range 3 {
			w.fire(t, nil)
			pass(sweepInterval)
		}
		assert.Equal(t, int64(3), w.Stats().WriteFailures)
		assert.Equal(t, 1, strings.Count(w.log.String(), "cannot be written to disk"))
		assert.Len(t, w.Active(), 1)
		require.NoError(t, os.Remove(filepath.Join(directory, "incidents.json.new")))
		pass(sweepInterval)
		assert.Contains(t, w.log.String(), "written to disk again")
		w.stop()

		require.NoError(t, os.WriteFile(filepath.Join(directory, "incidents.json"), []byte("{"), 0o600))
		w = begin(t, directory)
		defer w.stop()
		assert.Contains(t, w.log.String(), "forgotten")
		assert.Zero(t, w.Stats())
	})
}
