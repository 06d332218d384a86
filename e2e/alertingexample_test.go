package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheAlertingExampleTellsWhoItSays runs examples/alerting with its secrets from the environment and nothing changed but addresses and waiting
// times: a critical alert reaches Slack, PagerDuty and the webhook, a warning the webhook and the mail server, which is not there. Its own rules look
// at what this gateway has.
func TestTheAlertingExampleTellsWhoItSays(t *testing.T) {
	t.Parallel()
	type request struct{ path, body string }
	received := make(chan request, 100)
	services := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- request{r.URL.Path, string(body)}
		if r.URL.Path == "/pagerduty" {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(services.Close)
	example, err := filepath.Abs(filepath.Join(repository, "examples/alerting/collector-config.yaml"))
	require.NoError(t, err)
	p, alerts := freePorts(t), freeAddress(t)
	here := writeConfig(t, fmt.Sprintf(`
receivers:
  otlp: {protocols: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
  selfmetrics: {telemetry: {endpoint: "http://%s/metrics"}}
extensions:
  health_check: {endpoint: %q}
  alertmanager:
    http: {endpoint: %q}
    evaluation_interval: 1s # a rule's third evaluation is the first to write that its alert is pending
    alertmanager:
      global: {pagerduty_url: "%s/pagerduty", smtp_smarthost: %q}
      route: {group_wait: 100ms, group_interval: 1s}
service: {telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}}
`, p.grpc, p.http, p.metrics, p.health, alerts, services.URL, freeAddress(t), p.metrics[strings.LastIndex(p.metrics, ":")+1:]))
	c := startProcess(t, distribution(t), p, []string{
		"SLACK_WEBHOOK_URL=" + services.URL + "/slack/the-slack-secret", "PAGERDUTY_KEY=the-pagerduty-key", "WEBHOOK_URL=" + services.URL + "/webhook",
		"SMTP_PASSWORD=the-smtp-secret",
	}, "--config", example, "--config", here)

	await := func(wanted map[string]string) {
		t.Helper()
		for deadline := time.After(40 * time.Second); len(wanted) > 0; {
			select {
			case r := <-received:
				if text, ok := wanted[r.path]; ok && strings.Contains(r.body, text) {
					delete(wanted, r.path)
				}
			case <-deadline:
				require.FailNow(t, "not told", "%v", wanted)
			}
		}
	}
	post(t, "http://"+alerts+"/api/v2/alerts", `[{"labels": {"alertname": "Trial", "severity": "critical"}}]`)
	await(map[string]string{"/slack/the-slack-secret": "Trial", "/pagerduty": "the-pagerduty-key", "/webhook": "Trial"})
	post(t, "http://"+alerts+"/api/v2/alerts", `[{"labels": {"alertname": "Mild", "severity": "warning"}}]`)
	await(map[string]string{"/webhook": "Mild"})
	require.Eventually(t, func() bool { return strings.Contains(c.log(), "connect to the mail server") }, 40*time.Second, 100*time.Millisecond)
	// Nobody sends, and the Collector's own metrics do not count as somebody.
	require.Eventually(t, func() bool { _, is := pendingFor(t, alerts, "NothingArrives"); return is }, 40*time.Second, 100*time.Millisecond)
	assert.NotEmpty(t, selfMetric(t, alerts, `{"otelcol.self.pending.utilization"}`), "what GatewayNearlyFull watches")
	for _, path := range []string{"/api/v2/status", "/api/v1/alerts", "/api/v1/rules"} {
		_, body := get(t, "http://"+alerts+path)
		assert.NotContains(t, body, "the-", path)
	}
	for _, secret := range []string{"the-slack-secret", "the-pagerduty-key", "the-smtp-secret"} {
		assert.NotContains(t, c.log(), secret)
	}
}
