package delivery

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const wait = 20 * time.Second

// target is an HTTP server that keeps what it was sent.
type target struct {
	*httptest.Server
	bodies chan string
}

func startTarget(t *testing.T, answer http.HandlerFunc) *target {
	t.Helper()
	tg := &target{bodies: make(chan string, 100)}
	tg.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		tg.bodies <- string(body)
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(tg.Close)
	return tg
}

func (tg *target) next(t *testing.T) string {
	t.Helper()
	select {
	case body := <-tg.bodies:
		return body
	case <-time.After(wait):
		require.FailNow(t, "nothing was sent")
		return ""
	}
}

func decodeYAML(t *testing.T, text string) map[string]any {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &raw))
	return raw
}

func start(t *testing.T, cfg Config, config string) *Delivery {
	t.Helper()
	if cfg.Directory == "" {
		cfg.Directory = t.TempDir()
	}
	if config != "" {
		cfg.Alertmanager = decodeYAML(t, config)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.NotificationTimeout == 0 {
		cfg.NotificationTimeout = wait
	}
	cfg.ExternalURL, cfg.Registerer = &url.URL{Scheme: "http", Host: "collector.example"}, prometheus.NewRegistry()
	d, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func firing(name string, labels ...string) *alert.Alert {
	set := model.LabelSet{"alertname": model.LabelValue(name), "severity": "warning"}
	for i := 0; i < len(labels); i += 2 {
		set[model.LabelName(labels[i])] = model.LabelValue(labels[i+1])
	}
	return &alert.Alert{Alert: model.Alert{
		Labels: set, Annotations: model.LabelSet{"summary": "it is " + model.LabelValue(name)},
		StartsAt: time.Now().Add(-time.Minute), EndsAt: time.Now().Add(time.Hour),
	}}
}

func resolved(a *alert.Alert) *alert.Alert {
	r := *a
	r.EndsAt = time.Now().Add(-time.Millisecond)
	return &r
}

const quick = "group_wait: 10ms, group_interval: 50ms, repeat_interval: 1h"

func TestTheNotifiersSayWhatTheirServicesExpect(t *testing.T) {
	hook := startTarget(t, nil)
	slack := startTarget(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	pager := startTarget(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	told := make(chan Notification, 100)
	d := start(t, Config{Notified: func(n Notification) { told <- n }}, `
route: {receiver: all, `+quick+`}
receivers:
  - name: all
    webhook_configs: [{url: "`+hook.URL+`"}]
    slack_configs: [{api_url: "`+slack.URL+`", channel: "#ops", send_resolved: true}]
    pagerduty_configs: [{url: "`+pager.URL+`", routing_key: secret-key}]
`)
	a := firing("DiskFull", "some.label", "x")
	require.NoError(t, d.Send(t.Context(), a))

	var message struct{ Status, Receiver string }
	require.NoError(t, json.Unmarshal([]byte(hook.next(t)), &message))
	assert.Equal(t, "firing", message.Status)
	assert.Contains(t, slack.next(t), `"channel":"#ops"`)
	var page struct {
		DedupKey string `json:"dedup_key"`
		Action   string `json:"event_action"`
		Key      string `json:"routing_key"`
	}
	require.NoError(t, json.Unmarshal([]byte(pager.next(t)), &page))
	assert.Equal(t, "trigger", page.Action)
	assert.Equal(t, "secret-key", page.Key)

	require.NoError(t, d.Send(t.Context(), resolved(a)))
	key := page.DedupKey
	assert.Contains(t, hook.next(t), `"status":"resolved"`)
	assert.Contains(t, slack.next(t), "RESOLVED")
	require.NoError(t, json.Unmarshal([]byte(pager.next(t)), &page))
	assert.Equal(t, "resolve", page.Action)
	assert.Equal(t, key, page.DedupKey, "PagerDuty closes what it opened")

	kinds := map[string]int{}
	for range 6 {
		n := <-told
		require.NoError(t, n.Err)
		assert.Equal(t, "all", n.Receiver)
		kinds[n.Integration]++
	}
	assert.Equal(t, map[string]int{"webhook": 2, "slack": 2, "pagerduty": 2}, kinds)
}

func TestSeverityGroupingAndInhibitionDecideWhoIsTold(t *testing.T) {
	urgent, calm := startTarget(t, nil), startTarget(t, nil)
	d := start(t, Config{}, `
route:
  receiver: calm
  group_by: [alertname]
  `+strings.ReplaceAll(quick, ", ", "\n  ")+`
  routes: [{matchers: ['severity="critical"'], receiver: urgent}]
inhibit_rules: [{source_matchers: ['severity="critical"'], target_matchers: ['severity="warning"'], equal: [host]}]
receivers:
  - {name: calm, webhook_configs: [{url: "`+calm.URL+`"}]}
  - {name: urgent, webhook_configs: [{url: "`+urgent.URL+`"}]}
`)
	down := firing("Down", "host", "a")
	down.Labels["severity"] = "critical"
	require.NoError(t, d.Send(t.Context(), down))
	assert.Contains(t, urgent.next(t), "Down")
	require.Eventually(t, func() bool { // the inhibitor hears of alerts by itself, maybe after they are notified
		return d.pipeline.inhibitor.Mutes(t.Context(), model.LabelSet{"alertname": "Slow", "host": "a", "severity": "warning"})
	}, wait, time.Millisecond)
	require.NoError(t, d.Send(t.Context(), firing("Slow", "host", "a"), firing("Slow", "host", "b"), firing("Slow", "host", "c")))
	var body string
	for !strings.Contains(body, `"host":"b"`) || !strings.Contains(body, `"host":"c"`) {
		body = calm.next(t)
		assert.Contains(t, body, `"groupLabels":{"alertname":"Slow"}`)
	}
	assert.NotContains(t, body, `"host":"a"`, "muted by what is worse on the same host")

	reasons := map[string]bool{}
	for _, a := range d.Active() {
		reasons[string(a.Labels["host"]+a.Labels["alertname"])] = len(a.InhibitedBy) > 0
	}
	assert.Equal(t, map[string]bool{"aDown": false, "aSlow": true, "bSlow": false, "cSlow": false}, reasons)
}

func TestAReceiverThatTellsNobodyIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		d := start(t, Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, "")
		require.NoError(t, d.Send(t.Context(), firing("Heard")))
		time.Sleep(time.Minute) // past group_wait
		synctest.Wait()
		assert.NotContains(t, logged.String(), "level=ERROR")
	})
}

func TestATargetThatHangsOrFailsDelaysNobodyElse(t *testing.T) {
	release := make(chan struct{})
	hanging := startTarget(t, func(http.ResponseWriter, *http.Request) { <-release })
	failing := startTarget(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	good := startTarget(t, nil)
	failed := make(chan Notification, 100)
	d := start(t, Config{Notified: func(n Notification) {
		if n.Err != nil {
			failed <- n
		}
	}}, `
route: {receiver: all, group_by: [alertname], `+quick+`}
receivers:
  - {name: all, webhook_configs: [{url: "`+hanging.URL+`"}, {url: "`+failing.URL+`"}, {url: "`+good.URL+`"}]}
`)
	t.Cleanup(func() { close(release) })
	require.NoError(t, d.Send(t.Context(), firing("A"), firing("B")))
	hanging.next(t)
	both := good.next(t) + good.next(t)
	assert.Contains(t, both, `"alertname":"A"`)
	assert.Contains(t, both, `"alertname":"B"`)
	assert.ErrorContains(t, (<-failed).Err, "400")
	require.NoError(t, d.Close(), "a target that hangs does not hold up the end either")
}

func TestASilenceMutesUntilItIsTakenBack(t *testing.T) {
	hook := startTarget(t, nil)
	d := start(t, Config{}, `{route: {receiver: all, `+quick+`}, receivers: [{name: all, webhook_configs: [{url: "`+hook.URL+`"}]}]}`)
	id, err := d.Silence(t.Context(), "", model.LabelSet{"alertname": "Quiet"}, time.Now().Add(time.Hour), "ann", "because")
	require.NoError(t, err)
	require.NoError(t, d.Send(t.Context(), firing("Quiet"), firing("Loud")))
	body := hook.next(t)
	assert.Contains(t, body, "Loud")
	assert.NotContains(t, body, "Quiet")
	for _, a := range d.Active() {
		assert.Equal(t, a.Labels["alertname"] == "Quiet", len(a.SilencedBy) == 1)
	}
	assert.True(t, d.Silenced(t.Context(), id))
	require.NoError(t, d.Unsilence(t.Context(), id))
	assert.False(t, d.Silenced(t.Context(), id))
	assert.False(t, d.Silenced(t.Context(), "no such"))
	assert.Contains(t, hook.next(t), "Quiet")
	labels := model.LabelSet{"a": "b", "c": "d", "e": "f"}
	first, err := d.Silence(t.Context(), "lost with its file", labels, time.Now().Add(time.Hour), "ann", "because")
	require.NoError(t, err)
	for range 10 {
		again, err := d.Silence(t.Context(), first, labels, time.Now().Add(2*time.Hour), "ann", "because")
		require.NoError(t, err)
		assert.Equal(t, first, again, "prolonged, not replaced")
	}
	require.Error(t, d.Unsilence(t.Context(), "no such"))
}

func TestTheV2APITakesAndListsAlerts(t *testing.T) {
	d := start(t, Config{}, "")
	server := httptest.NewServer(d.APIHandler())
	t.Cleanup(server.Close)
	body := `[{"labels":{"alertname":"FromOutside"},"startsAt":"` + time.Now().Format(time.RFC3339) + `"}]`
	response, err := http.Post(server.URL+"/api/v2/alerts", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	for _, path := range []string{"/api/v2/alerts", "/api/v2/alerts/groups"} {
		require.Eventually(t, func() bool {
			response, err := http.Get(server.URL + path)
			if err != nil {
				return false
			}
			defer response.Body.Close()
			var listed bytes.Buffer
			_, _ = listed.ReadFrom(response.Body)
			return strings.Contains(listed.String(), "FromOutside")
		}, wait, 10*time.Millisecond, path)
	}
	response, err = http.Get(server.URL + "/api/v2/status")
	require.NoError(t, err)
	defer response.Body.Close()
	assert.Equal(t, http.StatusOK, response.StatusCode)
}

func TestNothingIsSentTwiceAfterARestartAndARecoveryMeanwhileIsTold(t *testing.T) {
	hook := startTarget(t, nil)
	directory := t.TempDir()
	config := `{route: {receiver: all, group_by: [alertname], ` + quick + `}, receivers: [{name: all, webhook_configs: [{url: "` + hook.URL + `"}]}]}`
	told := make(chan Notification, 10)
	grace := func(name string) time.Duration {
		return map[string]time.Duration{"Stays": time.Hour, "Recovers": 500 * time.Millisecond, "Foreign": 500 * time.Millisecond}[name]
	}
	cfg := Config{Directory: directory, Grace: grace, Notified: func(n Notification) { told <- n }}
	d := start(t, cfg, config)
	stays, recovers, foreign := firing("Stays"), firing("Recovers"), firing("Foreign")
	stays.GeneratorURL, recovers.GeneratorURL = "http://collector.example", "http://collector.example"
	require.NoError(t, d.Send(t.Context(), stays, recovers, foreign))
	hook.next(t)
	hook.next(t)
	hook.next(t)
	for range 3 {
		<-told
	}
	_, err := d.Silence(t.Context(), "", model.LabelSet{"alertname": "Other"}, time.Now().Add(time.Hour), "ann", "kept")
	require.NoError(t, err)
	require.NoError(t, d.Close())

	d = start(t, cfg, config)
	require.Len(t, d.Active(), 3, "back at once")
	// Until they are grouped: the dispatcher may take two reports of one moment in either order.
	require.Eventually(t, func() bool {
		groups, _, err := d.groups(t.Context(), func(*dispatch.Route) bool { return true }, func(*alert.Alert, time.Time) bool { return true })
		return err == nil && len(groups) == 3
	}, wait, time.Millisecond)
	body := hook.next(t)
	assert.Contains(t, body, "Recovers")
	assert.Contains(t, body, `"status":"resolved"`)
	assert.Empty(t, hook.bodies, "what goes on has been told before")
	silences, _, err := d.silences.Query(t.Context())
	require.NoError(t, err)
	assert.Len(t, silences, 1)
}

func TestASnapshotThatCannotBeReadIsLeftBehind(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, "alerts.json"), []byte("{"), 0o600))
	var log bytes.Buffer
	d := start(t, Config{Directory: directory, Logger: slog.New(slog.NewTextHandler(&log, nil))}, "")
	assert.Empty(t, d.Active())
	require.NoError(t, d.Close())
	assert.Contains(t, log.String(), "are forgotten")
}

func TestDamagedStateIsSetAside(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"nflog", "silences"} {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), []byte("\x05damaged"), 0o600))
	}
	d := start(t, Config{Directory: directory}, "")
	require.NoError(t, d.Send(t.Context(), firing("A")))
	assert.Len(t, d.Active(), 1)
	for _, name := range []string{"nflog", "silences"} {
		assert.FileExists(t, filepath.Join(directory, name+".damaged"))
	}
}

func TestHooksSeeEveryAlertAndMayEndIt(t *testing.T) {
	var seen []string
	d := start(t, Config{
		Admit:   func(a *alert.Alert) { a.EndsAt = time.Now().Add(-time.Second) },
		Observe: func(a *alert.Alert) { seen = append(seen, a.Name()) },
	}, "")
	require.NoError(t, d.Send(t.Context(), firing("A")))
	assert.Equal(t, []string{"A"}, seen)
	assert.Empty(t, d.Active())
	require.ErrorContains(t, d.Send(t.Context(), &alert.Alert{}, firing("B")), "start time missing")
	assert.Equal(t, []string{"A", "B"}, seen, "an invalid alert does not take others with it")
}
