package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exposition is a telemetry endpoint that can be there or not.
type exposition struct {
	*httptest.Server
	absent atomic.Bool
}

func startExposition(t *testing.T) *exposition {
	t.Helper()
	e := new(exposition)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if e.absent.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "# TYPE something gauge\nsomething 1")
	}))
	t.Cleanup(e.Close)
	return e
}

// watcher is a Collector whose rule EndpointAway fires while an exposition is absent; keys are added to its alertmanager extension.
func watcher(p ports, alerts, telemetry, keys string) string {
	return fmt.Sprintf(`
receivers:
  selfmetrics: {collection_interval: 500ms, initial_delay: 0s, telemetry: {endpoint: %q}}
exporters:
  alertrules: {}
extensions:
  health_check: {endpoint: %q}
  alertmanager:
    http: {endpoint: %q}
    evaluation_interval: 1s
    builtin_rules: {enabled: false}
%s
service:
  extensions: [health_check, alertmanager]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}
  pipelines:
    metrics/self: {receivers: [selfmetrics], exporters: [alertrules]}
`, telemetry, p.health, alerts, keys, p.metrics[strings.LastIndex(p.metrics, ":")+1:])
}

const endpointAway = `
    rules:
      - {name: EndpointAway, metric: otelcol.self.scrape.up, match: {source: endpoint}, op: "==", threshold: 0, severity: warning}
`

func notifying(webhook string) string {
	return fmt.Sprintf(`
    alertmanager:
      route: {receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}
      receivers: [{name: hook, webhook_configs: [{url: %q, send_resolved: true}]}]
`, webhook)
}

// startDaemon runs a program that listens at an address until the test ends, and waits until the path answers.
func startDaemon(t *testing.T, address, ready, program string, arguments ...string) {
	t.Helper()
	cmd := exec.Command(program, arguments...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + address + ready)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
}

// TestAmtool works through what people do with it.
func TestAmtool(t *testing.T) {
	t.Parallel()
	program := binary(t, ".tools/amtool", ".tools/amtool")
	p, alerts := freePorts(t), freeAddress(t)
	hook, received := startWebhook(t)
	startCollector(t, distribution(t), p, watcher(p, alerts, startExposition(t).URL, notifying(hook)))
	amtool := func(arguments ...string) string {
		t.Helper()
		output, code := run(t, program, append([]string{"--alertmanager.url=http://" + alerts}, arguments...)...)
		require.Zero(t, code, output)
		return output
	}

	amtool("alert", "add", "alertname=FromAmtool", "severity=warning", "--annotation=summary=by hand")
	assert.Contains(t, amtool("alert", "query", "alertname=FromAmtool"), "by hand")
	awaitNotification(t, received, "FromAmtool/firing")

	silence := strings.TrimSpace(amtool("silence", "add", "--author=ann", "--comment=maintenance", "--duration=1h", "alertname=FromAmtool"))
	assert.Contains(t, amtool("silence", "query"), "maintenance")
	assert.NotContains(t, amtool("alert", "query"), "by hand", "it is silenced")
	assert.Contains(t, amtool("alert", "query", "--silenced"), "by hand")
	amtool("silence", "expire", silence)
	assert.NotContains(t, amtool("silence", "query"), "maintenance")
	assert.Contains(t, amtool("alert", "query"), "by hand")

	config := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(config, []byte(amtool("config", "show")), 0o600))
	assert.Contains(t, amtool("check-config", config), "SUCCESS", "what it shows is a configuration")
	assert.Equal(t, "hook", strings.TrimSpace(amtool("config", "routes", "test", "alertname=FromAmtool")))
	assert.Contains(t, amtool("cluster", "show"), "disabled")
}

// TestAStockPrometheusSendsItsAlerts has one fire and recover by what a Prometheus sees, notified by what the Collector routes.
func TestAStockPrometheusSendsItsAlerts(t *testing.T) {
	t.Parallel()
	p, alerts := freePorts(t), freeAddress(t)
	hook, received := startWebhook(t)
	scraped := startExposition(t)
	scraped.absent.Store(true)
	startCollector(t, distribution(t), p, watcher(p, alerts, scraped.URL, notifying(hook)))

	directory, address := t.TempDir(), freeAddress(t)
	rules, config := filepath.Join(directory, "rules.yml"), filepath.Join(directory, "prometheus.yml")
	require.NoError(t, os.WriteFile(rules, []byte(`
groups: [{name: g, rules: [{alert: TargetDown, expr: 'up == 0', labels: {severity: critical}, annotations: {summary: it is down}}]}]
`), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%q]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: target, static_configs: [{targets: [%q]}]}]
`, rules, alerts, strings.TrimPrefix(scraped.URL, "http://")), 0o600))
	startDaemon(t, address, "/-/ready", "prometheus", "--config.file", config, "--storage.tsdb.path", directory,
		"--web.listen-address", address, "--log.level=error")

	awaitNotification(t, received, "TargetDown/firing")
	_, listed := get(t, "http://"+alerts+"/api/v1/alerts")
	assert.Contains(t, listed, "TargetDown")
	assert.Contains(t, listed, "it is down")
	scraped.absent.Store(false)
	awaitNotification(t, received, "TargetDown/resolved")
	assert.Eventually(t, func() bool {
		_, history := get(t, "http://"+alerts+"/api/v1/history")
		return strings.Contains(history, "TargetDown")
	}, 20*time.Second, 100*time.Millisecond)
}

// TestAStockAlertmanagerGetsTheRulesAlerts has the Collector's rules tell an Alertmanager that runs elsewhere.
func TestAStockAlertmanagerGetsTheRulesAlerts(t *testing.T) {
	t.Parallel()
	hook, received := startWebhook(t)
	directory, elsewhere := t.TempDir(), freeAddress(t)
	config := filepath.Join(directory, "alertmanager.yml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
route: {receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s}
receivers: [{name: hook, webhook_configs: [{url: %q, send_resolved: true}]}]
`, hook), 0o600))
	startDaemon(t, elsewhere, "/-/ready", "prometheus-alertmanager", "--config.file", config, "--storage.path", directory,
		"--web.listen-address", elsewhere, "--cluster.listen-address=", "--log.level=error")

	p, alerts := freePorts(t), freeAddress(t)
	telemetry := startExposition(t)
	telemetry.absent.Store(true)
	startCollector(t, distribution(t), p, watcher(p, alerts, telemetry.URL,
		fmt.Sprintf("    external: {alertmanagers: [%q]}\n", "http://"+elsewhere)+endpointAway))
	awaitNotification(t, received, "EndpointAway/firing")
	_, listed := get(t, "http://"+elsewhere+"/api/v2/alerts")
	assert.Contains(t, listed, "EndpointAway")
	telemetry.absent.Store(false)
	awaitNotification(t, received, "EndpointAway/resolved")
}
