package alertmanager

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
)

// TestEverythingThatHappensToAnAlertIsTold follows one from pending to resolved, past an escalation, a receiver that works and one that does not.
func TestEverythingThatHappensToAnAlertIsTold(t *testing.T) {
	answer := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	// The sweep that tells of what is pending comes every five seconds.
	keys := queueRule(map[string]any{"for": "8s", "escalate": []any{map[string]any{"after": "2s", "severity": "critical"}}})
	keys["alertmanager"] = map[string]any{
		"route": map[string]any{"receiver": "all", "group_wait": "10ms", "group_interval": "100ms"},
		"receivers": []any{map[string]any{"name": "all", "webhook_configs": []any{
			map[string]any{"url": answer(http.StatusOK)}, map[string]any{"url": answer(http.StatusBadRequest)},
		}}},
	}
	e := startExtension(t, t.TempDir(), keys)
	told := e.Subscribe(t.Context())
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	seen := map[events.Kind]Event{}
	await := func(kinds ...events.Kind) {
		t.Helper()
		for _, kind := range kinds {
			for _, found := seen[kind]; !found; _, found = seen[kind] {
				select {
				case happened := <-told:
					require.Equal(t, "QueueNearlyFull", happened.Name)
					require.NotZero(t, happened.Time)
					seen[happened.Kind] = happened
				case <-time.After(wait):
					require.FailNow(t, "not told", kind)
				}
			}
		}
	}
	await(events.Pending, events.Firing, events.Notified, events.NotifyFailed, events.Escalated)
	require.Equal(t, "webhook", seen[events.Notified].Integration)
	require.Equal(t, "all", seen[events.Notified].Receiver)
	require.Contains(t, seen[events.NotifyFailed].Error, "400")
	require.Equal(t, "critical", seen[events.Escalated].Severity)
	id := seen[events.Firing].Incident
	status, _ := post(t, e.url("/api/v1/alerts/"+id+"/acknowledge"), `{"who": "ann", "why": "looking"}`)
	require.Equal(t, http.StatusOK, status)
	await(events.Acknowledged)
	require.Equal(t, "ann", seen[events.Acknowledged].Who)
	status, _ = post(t, e.url("/api/v1/alerts/"+id+"/unacknowledge"), `{"who": "bob", "why": "not mine"}`)
	require.Equal(t, http.StatusOK, status)
	await(events.Unacknowledged)
	require.Equal(t, "bob", seen[events.Unacknowledged].Who)
	require.Equal(t, "not mine", seen[events.Unacknowledged].Why)
	e.feed(t, "otelcol.self.queue.utilization", 0.1)
	await(events.Resolved)
	require.Empty(t, seen[events.Resolved].Who, "by itself")
	for kind, happened := range seen {
		if kind != events.Pending {
			require.Equal(t, id, happened.Incident, kind)
		}
	}
}
