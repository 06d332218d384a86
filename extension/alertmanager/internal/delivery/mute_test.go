package delivery

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mutedBy returns, of each alert, the times that mute it, as the v2 API tells.
func mutedBy(t *testing.T, d *Delivery) map[string][]string {
	t.Helper()
	answer := httptest.NewRecorder()
	d.APIHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/v2/alerts/groups", http.NoBody))
	var groups []struct {
		Alerts []struct {
			Labels map[string]string
			Status struct {
				MutedBy []string `json:"mutedBy"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &groups), answer.Body.String())
	muted := map[string][]string{}
	for _, group := range groups {
		for _, a := range group.Alerts {
			muted[a.Labels["alertname"]] = a.Status.MutedBy
		}
	}
	return muted
}

func TestMuteTimesKeepNotificationsBack(t *testing.T) {
	hook := startTarget(t, nil)
	d := start(t, Config{}, `
route:
  receiver: all
  group_by: [alertname]
  group_wait: 10ms
  group_interval: 50ms
  routes:
    - {matchers: [alertname=MutedNow], mute_time_intervals: [always]}
    - {matchers: [alertname=MutedByTheOldKey], mute_time_intervals: [old]}
    - {matchers: [alertname=MutedOnceOnly], mute_time_intervals: [once]}
    - {matchers: [alertname=ActiveOnceOnly], active_time_intervals: [once]}
    - {matchers: [alertname=ActiveNow], active_time_intervals: [always]}
mute_time_intervals: [{name: old, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]
time_intervals:
  - {name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}
  - {name: once, time_intervals: [{years: ['2000']}]}
receivers: [{name: all, webhook_configs: [{url: "`+hook.URL+`"}]}]
`)
	require.NoError(t, d.Send(t.Context(), firing("MutedNow"), firing("MutedByTheOldKey"), firing("MutedOnceOnly"), firing("ActiveOnceOnly"), firing("ActiveNow")))
	told := hook.next(t) + hook.next(t)
	assert.Contains(t, told, `"alertname":"MutedOnceOnly"`)
	assert.Contains(t, told, `"alertname":"ActiveNow"`)
	want := map[string][]string{
		"MutedNow": {"always"}, "MutedByTheOldKey": {"old"}, "MutedOnceOnly": {}, "ActiveOnceOnly": {"once"}, "ActiveNow": {},
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, want, mutedBy(t, d)) }, wait, 10*time.Millisecond)
	assert.Empty(t, hook.bodies, "what is muted is not told")
}

func TestTemplatesOfAFileAreUsed(t *testing.T) {
	pager := startTarget(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "own.tmpl"), []byte(`{{ define "own" }}{{ .CommonLabels.alertname }} of ours{{ end }}`), 0o600))
	d := start(t, Config{}, `
route: {receiver: all, `+quick+`}
templates: ['`+folder+`/*.tmpl']
receivers: [{name: all, pagerduty_configs: [{url: "`+pager.URL+`", routing_key: k, description: '{{ template "own" . }}'}]}]
`)
	require.NoError(t, d.Send(t.Context(), firing("DiskFull")))
	assert.Contains(t, pager.next(t), `"summary":"DiskFull of ours"`)
}
