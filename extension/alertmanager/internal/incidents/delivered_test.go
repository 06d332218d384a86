package incidents

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
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
		Directory: directory, ExternalURL: &url.URL{}, NotificationTimeout: 20 * time.Second, Grace: time.Minute, Logger: discard,
		Registerer: prometheus.NewRegistry(), Admit: d.Admit, Observe: d.Observe, BeforeNotify: d.BeforeNotify,
		Alertmanager: map[string]any{
			"route":     map[string]any{"receiver": "hook", "group_by": []any{"alertname"}, "group_wait": "1ms", "group_interval": "10ms"},
			"receivers": []any{map[string]any{"name": "hook", "webhook_configs": []any{map[string]any{"url": hook.URL}}}},
		},
	})
	require.NoError(t, err)
	d.Connect(d.delivery, func() []events.Event { return nil })
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

func (d *delivered) send(t *testing.T, start, end time.Time) {
	t.Helper()
	require.NoError(t, d.delivery.Send(t.Context(), &alert.Alert{Alert: model.Alert{
		Labels: model.LabelSet{"alertname": "Slow"}, StartsAt: start, EndsAt: end,
	}}))
}

// A group is notified whenever its interval is over, and not when the tracker has looked.
func TestTheRecoveryOfAnAcknowledgedAlertIsToldAndSoIsItsNextFiring(t *testing.T) {
	d := deliver(t, t.TempDir())
	start := time.Now()
	d.send(t, start, start.Add(time.Hour))
	assert.Contains(t, d.next(t), `"status":"firing"`)
	require.NoError(t, d.Acknowledge(t.Context(), d.Active()[0].ID, "ann", "", time.Time{}))
	d.send(t, start, time.Now())
	assert.Contains(t, d.next(t), `"status":"resolved"`)
	assert.Empty(t, d.Active())
	assert.Equal(t, "ann", d.History(Query{})[0].Acknowledgement.Who)

	d.send(t, time.Now(), time.Now().Add(2*time.Second)) // and nobody reports it again
	assert.Contains(t, d.next(t), `"status":"firing"`)
	require.NoError(t, d.Acknowledge(t.Context(), d.Active()[0].ID, "ann", "", time.Time{}))
	assert.Contains(t, d.next(t), `"status":"resolved"`)
}
