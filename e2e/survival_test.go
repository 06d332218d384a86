package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func post(t *testing.T, url, body string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode, "%s %s", url, body)
}

// activeAlert is what the tests look at of /api/v1/alerts.
type activeAlert struct {
	ID, Name        string
	Acknowledgement *struct{ Who, Why string }
	SilencedBy      []string `json:"silenced_by"`
}

// active returns the alerts that fire, by name.
func active(t *testing.T, alerts string) map[string]activeAlert {
	t.Helper()
	_, body := get(t, "http://"+alerts+"/api/v1/alerts")
	var listed []activeAlert
	require.NoError(t, json.Unmarshal([]byte(body), &listed), body)
	byName := map[string]activeAlert{}
	for _, a := range listed {
		byName[a.Name] = a
	}
	return byName
}

// pendingFor returns how long the alert of a rule has been pending, as its rule knows it.
func pendingFor(t *testing.T, alerts, rule string) (time.Duration, bool) {
	t.Helper()
	values := selfMetric(t, alerts, fmt.Sprintf(`time() - ALERTS_FOR_STATE{alertname=%q}`, rule))
	if len(values) == 0 {
		return 0, false
	}
	return time.Duration(values[0] * float64(time.Second)), true
}

// awaitWritten returns when every file of state has been written since.
func awaitWritten(t *testing.T, directory string, since time.Time) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, name := range []string{"alerts.json", "nflog", "silences"} {
			info, err := os.Stat(filepath.Join(directory, name))
			if err != nil || !info.ModTime().After(since) {
				return false
			}
		}
		return true
	}, 40*time.Second, 100*time.Millisecond)
}

// TestAlertsSurviveKillAndRestart ends the process by SIGKILL, and after that by SIGTERM, with alerts pending, firing, acknowledged,
// silenced and in the history. What was known is known again, nobody is told twice, and what recovered meanwhile is told.
func TestAlertsSurviveKillAndRestart(t *testing.T) {
	t.Parallel()
	hook, received := startWebhook(t)
	telemetry, directory := startExposition(t), t.TempDir()
	p, alerts := freePorts(t), freeAddress(t)
	config := watcher(p, alerts, telemetry.URL, fmt.Sprintf("    storage: {directory: %q}\n", directory)+notifying(hook)+endpointAway+
		"      - {name: Patient, expr: 'vector(1) > 0', for: 10m}\n")
	c := startCollector(t, distribution(t), p, config)

	telemetry.absent.Store(true)
	awaitNotification(t, received, "EndpointAway/firing")
	for _, name := range []string{"Acknowledged", "Silenced", "Over"} {
		postAlert(t, alerts, name, "")
		awaitNotification(t, received, name+"/firing")
	}
	post(t, "http://"+alerts+"/api/v1/alerts/"+active(t, alerts)["Acknowledged"].ID+"/acknowledge", `{"who": "ann", "why": "looking"}`)
	now := time.Now()
	post(t, "http://"+alerts+"/api/v2/silences", fmt.Sprintf(`{"matchers": [{"name": "alertname", "value": "Silenced", "isRegex": false}],
		"startsAt": %q, "endsAt": %q, "createdBy": "bob", "comment": "maintenance"}`, now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)))
	post(t, "http://"+alerts+"/api/v2/alerts", fmt.Sprintf(`[{"labels": {"alertname": "Over", "queue": ""}, "endsAt": %q}]`, now.Format(time.RFC3339)))
	awaitNotification(t, received, "Over/resolved")
	awaitWritten(t, directory, time.Now())
	before, ok := pendingFor(t, alerts, "Patient")
	require.True(t, ok)

	require.NoError(t, c.cmd.Process.Kill())
	<-c.exited
	telemetry.absent.Store(false)
	restarted := time.Now()
	c = startCollector(t, distribution(t), p, config)
	requireKnown := func() {
		t.Helper()
		require.Eventually(t, func() bool { return len(active(t, alerts)) >= 2 }, 10*time.Second, 50*time.Millisecond)
		known := active(t, alerts)
		require.NotNil(t, known["Acknowledged"].Acknowledgement)
		assert.Equal(t, "ann", known["Acknowledged"].Acknowledgement.Who)
		assert.NotEmpty(t, known["Silenced"].SilencedBy)
		_, history := get(t, "http://"+alerts+"/api/v1/history")
		assert.Contains(t, history, `"Over"`)
		_, silences := get(t, "http://"+alerts+"/api/v2/silences")
		assert.Contains(t, silences, "maintenance")
	}
	requireKnown()
	var after time.Duration
	assert.Eventually(t, func() bool {
		after, ok = pendingFor(t, alerts, "Patient")
		return ok && after >= before
	}, 20*time.Second, 200*time.Millisecond, "progress of `for`: %s before, %s after", before, after)
	assert.Less(t, after, before+time.Since(restarted)+5*time.Second)

	// Alerts that nobody reports any more get a minute after a start.
	select {
	case first := <-received:
		assert.Equal(t, []string{"EndpointAway/resolved"}, first, "nothing is sent twice, and the recovery is told")
	case <-time.After(90 * time.Second):
		_, listed := get(t, "http://"+alerts+"/api/v2/alerts")
		assert.Fail(t, "the recovery during the downtime was not told", listed)
	}
	// The history follows some seconds later: incidents are looked at every five.
	assert.Eventually(t, func() bool {
		_, history := get(t, "http://"+alerts+"/api/v1/history")
		return strings.Contains(history, "EndpointAway")
	}, 20*time.Second, 100*time.Millisecond)

	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 20*time.Second)
	startCollector(t, distribution(t), p, config)
	requireKnown()
	select {
	case again := <-received:
		assert.Fail(t, "sent twice", "%v", again)
	case <-time.After(5 * time.Second): // the groups' interval is a second
	}
}
