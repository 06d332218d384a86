package alertmanager

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/storage"
)

func TestARestartKeepsAlertsAndAcknowledgements(t *testing.T) {
	directory := t.TempDir()
	rules := queueRule(nil)
	e := startExtension(t, directory, rules)
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	before := e.await(t, 1)[0]
	status, _ := post(t, e.url("/api/v1/alerts/"+before.ID+"/acknowledge"), `{"who": "ann"}`)
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, e.Shutdown(t.Context()))

	e = startExtension(t, directory, rules)
	after := e.await(t, 1)[0]
	assert.Equal(t, before.ID, after.ID)
	assert.Equal(t, "ann", after.Acknowledgement.Who)
	require.Eventually(t, func() bool { return e.fires("QueueNearlyFull") }, wait, 20*time.Millisecond)
	e.feed(t, "otelcol.self.queue.utilization", 0.1)
	e.await(t, 0)
}

func TestAnAlertIsWaitedForAfterARestartForAsLongAsItsGroupMayTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.yml")
	require.NoError(t, os.WriteFile(path, []byte("groups: [{name: slow, interval: 20m, rules: [{alert: Slow, expr: x > 0}]}]"), 0o600))
	keys := queueRule(nil)
	keys["rule_files"] = []any{path}
	e := startExtension(t, t.TempDir(), keys)
	assert.Equal(t, 80*time.Minute, e.grace("Slow"))
	assert.Equal(t, time.Minute, e.grace("QueueNearlyFull"))
}

func TestTheProgressOfForGoesOnAfterARestart(t *testing.T) {
	directory := t.TempDir()
	old, err := storage.Open(storage.Config{
		Directory: directory, Retention: 2 * time.Hour, MaxSeries: 10, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	start := time.Now()
	app := old.Appender(t.Context())
	_, err = app.Append(0, labels.FromStrings("__name__", "ALERTS_FOR_STATE", "alertname", "QueueNearlyFull", "exporter", "x", "severity", "warning"),
		start.Add(-10*time.Minute).UnixMilli(), float64(start.Add(-70*time.Minute).Unix()))
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	require.NoError(t, old.Close())

	e := startExtension(t, directory, queueRule(map[string]any{"for": "2h"}))
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	require.Eventually(t, func() bool {
		for _, group := range e.engine.Groups() {
			for _, rule := range group.AlertingRules() {
				for _, a := range rule.ActiveAlerts() {
					if a.ActiveAt.Before(start.Add(-59 * time.Minute)) {
						return true
					}
				}
			}
		}
		return false
	}, wait, 20*time.Millisecond)
}
