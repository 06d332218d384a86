package incidents

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
)

// delivered is a tracker with the real delivery, which tells a webhook.
type delivered struct {
	*Tracker
	delivery *delivery.Delivery
	told     chan string
}

// deliver starts both. The tracker does not run: what a test sees happens by itself.
func deliver(t *testing.T, directory string) *delivered {
	t.Helper()
	d := &delivered{told: make(chan string, 100)}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.told <- string(body)
	}))
	t.Cleanup(hook.Close)
	discard := slog.New(slog.DiscardHandler)
	var err error
	d.Tracker, err = New(Config{Directory: directory, Bus: &events.Bus{}, Logger: discard, MaxHistory: 3})
	require.NoError(t, err)
	d.delivery, err = delivery.New(delivery.Config{
		Directory: directory, ExternalURL: &url.URL{}, NotificationTimeout: 20 * time.Second, Grace: func(string) time.Duration { return time.Minute }, Logger: discard,
		Registerer: prometheus.NewRegistry(), Admit: d.Admit, Observe: d.Observe, BeforeNotify: d.BeforeNotify,
		BeforeRestore: func(delivery *delivery.Delivery) {
			d.Connect(t.Context(), delivery, func() []events.Event { return nil })
		},
		Alertmanager: map[string]any{
			"route":     map[string]any{"receiver": "hook", "group_wait": "1ms", "group_interval": "10ms"},
			"receivers": []any{map[string]any{"name": "hook", "webhook_configs": []any{map[string]any{"url": hook.URL}}}},
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { d.stop(t) })
	return d
}

func (d *delivered) stop(t *testing.T) {
	require.NoError(t, d.delivery.Close())
	require.NoError(t, d.Close())
}

// next returns what is told next.
func (d *delivered) next(t *testing.T) string {
	t.Helper()
	select {
	case body := <-d.told:
		return body
	case <-time.After(20 * time.Second):
		require.FailNow(t, "nobody is told")
		return ""
	}
}

// only returns the incident of that name.
func (d *delivered) only(t *testing.T, name string) Incident {
	t.Helper()
	for _, i := range d.Active() {
		if i.Name == name {
			return i
		}
	}
	require.FailNow(t, "does not fire", name)
	return Incident{}
}

func (d *delivered) send(t *testing.T, name model.LabelValue, start, end time.Time) {
	t.Helper()
	require.NoError(t, d.delivery.Send(t.Context(), &alert.Alert{Alert: model.Alert{
		Labels: model.LabelSet{"alertname": name}, StartsAt: start, EndsAt: end,
	}}))
}

// A group is notified whenever its interval is over, and not when the tracker has looked.
func TestTheRecoveryOfAnAcknowledgedAlertIsToldAndSoIsItsNextFiring(t *testing.T) {
	d := deliver(t, t.TempDir())
	start := time.Now()
	d.send(t, "Slow", start, start.Add(time.Hour))
	assert.Contains(t, d.next(t), `"status":"firing"`)
	require.NoError(t, d.Acknowledge(t.Context(), d.Active()[0].ID, "ann", "", time.Time{}))
	d.send(t, "Slow", start, time.Now())
	assert.Contains(t, d.next(t), `"status":"resolved"`)
	assert.Empty(t, d.Active())
	assert.Equal(t, "ann", d.History(Query{})[0].Acknowledgement.Who)

	d.send(t, "Slow", time.Now(), time.Now().Add(2*time.Second)) // and nobody reports it again
	assert.Contains(t, d.next(t), `"status":"firing"`)
	require.NoError(t, d.Acknowledge(t.Context(), d.Active()[0].ID, "ann", "", time.Time{}))
	assert.Contains(t, d.next(t), `"status":"resolved"`)
}

// Nothing is left of the silence, as when the process was down for longer than it lasts, nor of what has been told.
func TestAnAcknowledgedAlertIsQuietFromTheStartOn(t *testing.T) {
	for _, until := range []time.Time{{}, time.Now().Add(time.Hour)} {
		directory := t.TempDir()
		d := deliver(t, directory)
		d.send(t, "Slow", time.Now(), time.Now().Add(time.Hour))
		d.next(t)
		require.NoError(t, d.Acknowledge(t.Context(), d.Active()[0].ID, "ann", "", until))
		d.stop(t)
		require.NoError(t, os.Remove(filepath.Join(directory, "silences")))
		require.NoError(t, os.Remove(filepath.Join(directory, "nflog")))

		d = deliver(t, directory)
		d.send(t, "Other", time.Now(), time.Now().Add(time.Hour))
		assert.NotContains(t, d.next(t), "Slow")
		require.NoError(t, d.Unacknowledge(t.Context(), d.only(t, "Slow").ID, "ann", ""))
		assert.Contains(t, d.next(t), "Slow")
	}
}

// As after kill -9: the silence was on disk, the acknowledgement not yet.
func TestTheSilenceOfAForgottenAcknowledgementEnds(t *testing.T) {
	directory := t.TempDir()
	d := deliver(t, directory)
	d.send(t, "Kept", time.Now(), time.Now().Add(time.Hour))
	require.NoError(t, d.Acknowledge(t.Context(), d.only(t, "Kept").ID, "ann", "", time.Time{}))
	d.save()
	state, err := os.ReadFile(d.statePath())
	require.NoError(t, err)
	d.send(t, "Forgotten", time.Now(), time.Now().Add(time.Hour))
	require.NoError(t, d.Acknowledge(t.Context(), d.only(t, "Forgotten").ID, "ann", "", time.Now().Add(time.Hour)))
	server := httptest.NewServer(d.delivery.APIHandler())
	defer server.Close()
	response, err := http.Post(server.URL+"/api/v2/silences", "application/json", strings.NewReader(fmt.Sprintf(
		`{"createdBy": "bob", "comment": "acknowledged: by hand", "startsAt": %q, "endsAt": %q, "matchers": [{"name": "alertname", "value": "Other", "isRegex": false},
			{"name": "severity", "value": "", "isRegex": false}]}`,
		time.Now().Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339))))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	d.stop(t)
	require.NoError(t, os.WriteFile(d.statePath(), state, 0o600))

	d = deliver(t, directory)
	d.send(t, "Other", time.Now(), time.Now().Add(time.Hour))
	silenced := map[string]bool{}
	for _, a := range d.delivery.Active() {
		silenced[a.Name()] = len(a.SilencedBy) == 1
	}
	assert.Equal(t, map[string]bool{"Kept": true, "Forgotten": false, "Other": true}, silenced)
}

func TestAnAcknowledgementMutesNoOtherAlertThatHasItsLabelsAndMore(t *testing.T) {
	d := deliver(t, t.TempDir())
	fire := func(labels model.LabelSet) {
		labels["alertname"] = "Slow"
		require.NoError(t, d.delivery.Send(t.Context(), &alert.Alert{Alert: model.Alert{
			Labels: labels, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
		}}))
	}
	fire(model.LabelSet{"host": "a"})
	fire(model.LabelSet{"host": "a", "disk": "b"})
	fire(model.LabelSet{"host": "a", "severity": "info", "escalation_from": "info"})
	fire(model.LabelSet{"host": "a", "severity": "critical", "escalation_from": "info", "escalation": "1"})
	for _, i := range d.Active() {
		if i.Labels["disk"] == "" {
			require.NoError(t, d.Acknowledge(t.Context(), i.ID, "ann", "", time.Time{}))
		}
	}
	fire(model.LabelSet{"host": "a", "severity": "warning"})
	silences := map[string]bool{}
	for _, a := range d.delivery.Active() {
		quiet := a.Labels["disk"] == "" && a.Labels["severity"] != "warning"
		if assert.Len(t, a.SilencedBy, map[bool]int{true: 1}[quiet], a.Labels) && quiet {
			silences[a.SilencedBy[0]] = true
		}
	}
	assert.Len(t, silences, 2, "one for an alert and its steps")
}
