package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startWebhook returns the URL of a target, and the alerts of each notification it gets: name, label `queue` if there is one, status.
func startWebhook(t *testing.T) (string, <-chan []string) {
	t.Helper()
	received := make(chan []string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Alerts []struct {
				Status string            `json:"status"`
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		}
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&message))
		var alerts []string
		for _, a := range message.Alerts {
			alerts = append(alerts, path.Join(a.Labels["alertname"], a.Labels["queue"], a.Status))
		}
		slices.Sort(alerts)
		received <- alerts
	}))
	t.Cleanup(server.Close)
	return server.URL, received
}

// awaitNotification returns when one with all of these alerts has come.
func awaitNotification(t *testing.T, received <-chan []string, wanted ...string) {
	t.Helper()
	deadline := time.After(40 * time.Second)
	for {
		select {
		case got := <-received:
			if slices.Equal(got, wanted) {
				return
			}
		case <-deadline:
			require.FailNow(t, "no such notification", "%v", wanted)
		}
	}
}
