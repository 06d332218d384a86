package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startPrometheus runs a real Prometheus that scrapes the addresses every second, and returns its own.
func startPrometheus(t *testing.T, scraped string) (address string) {
	t.Helper()
	address = freeAddress(t)
	directory := t.TempDir()
	config := filepath.Join(directory, "prometheus.yml")
	rules, err := filepath.Abs(filepath.Join(repository, "deploy", "prometheus", "otelcol-adaptive.rules.yml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: otelcol, static_configs: [{targets: [%q]}]}]
`, rules, scraped), 0o600))
	startDaemon(t, address, "/-/ready", "prometheus", "--config.file", config, "--storage.tsdb.path", directory, "--web.listen-address", address, "--log.level=error")
	return address
}

// promQL evaluates an expression and returns the values of the series.
func promQL(t *testing.T, address, expression string) (values []float64) {
	t.Helper()
	status, body := get(t, "http://"+address+"/api/v1/query?"+url.Values{"query": {expression}}.Encode())
	require.Equal(t, http.StatusOK, status, "%s: %s", expression, body)
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		require.NoError(t, err)
		values = append(values, v)
	}
	return values
}

// selfMetric returns the newest values of one of selfmetrics' own figures, as the alertmanager extension stores them.
func selfMetric(t *testing.T, alerts, expression string) (values []float64) {
	t.Helper()
	now := float64(time.Now().UnixMilli()) / 1000
	query := url.Values{"query": {expression}, "start": {fmt.Sprint(now - 1)}, "end": {fmt.Sprint(now)}, "step": {"1"}}
	status, body := get(t, "http://"+alerts+"/api/v1/query_range?"+query.Encode())
	require.Equal(t, http.StatusOK, status, body)
	var answer []struct {
		Points [][2]float64 `json:"points"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	for _, s := range answer {
		values = append(values, s.Points[len(s.Points)-1][1])
	}
	return values
}

// TestAgainstARealPrometheus runs the shipped configuration under a steady load beside a real Prometheus: what selfmetrics computes
// from the telemetry endpoint is what PromQL computes from it, every panel of every dashboard shows something, and the alerting
// rules for Prometheus load and stay quiet.
func TestAgainstARealPrometheus(t *testing.T) {
	t.Parallel()
	alerts := freeAddress(t)
	c, _ := startShippedWith(t, freeAddress(t), alerts)
	prometheus := startPrometheus(t, c.metrics)
	program := binary(t, ".tools/telemetrygen", ".tools/telemetrygen")
	for _, signal := range []string{"traces", "metrics", "logs"} {
		load := exec.Command(program, signal, "--otlp-insecure", "--otlp-endpoint", c.grpc, "--duration", "120s", "--rate", "50", "--workers", "2")
		load.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		require.NoError(t, load.Start())
		t.Cleanup(func() {
			_ = load.Process.Kill()
			_ = load.Wait()
		})
	}

	// Each scrape of selfmetrics has the rate since the one before; their mean over a time is PromQL's rate over it. A quantile
	// of each scrape has no such sum, so that its mean has to be in the neighbourhood only.
	for own, theirs := range map[string]struct {
		expression string
		tolerance  float64 // factor either way
	}{
		`sum(avg_over_time({"otelcol.self.throughput", direction="export", signal="traces"}[20s]))`: {`sum(rate(otelcol_exporter_sent_spans[20s]))`, 1.1},
		`sum(avg_over_time({"otelcol.self.throughput", direction="export", signal="logs"}[20s]))`:   {`sum(rate(otelcol_exporter_sent_log_records[20s]))`, 1.1},
		`sum({"otelcol.self.queue.capacity"})`:                                                      {`sum(otelcol_exporter_queue_capacity)`, 1},
		`max(avg_over_time({"otelcol.self.compression.ratio"}[20s]))`: {
			`max(sum by (exporter) (rate(otelcol_exporter_pooledotlp_uncompressed_bytes[20s])) / sum by (exporter) (rate(otelcol_exporter_pooledotlp_wire_bytes[20s])))`, 1.1,
		},
		`max(avg_over_time({"otelcol.self.export.latency", quantile="0.5"}[20s]))`: {
			`histogram_quantile(0.5, sum by (le) (rate(otelcol_exporter_pooledotlp_attempt_duration_bucket[20s])))`, 2,
		},
		`max(avg_over_time({"otelcol.self.export.latency", quantile="0.95"}[20s]))`: {
			`histogram_quantile(0.95, sum by (le) (rate(otelcol_exporter_pooledotlp_attempt_duration_bucket[20s])))`, 3,
		},
		`max(avg_over_time({"otelcol.self.export.latency", quantile="0.99"}[20s]))`: {
			`histogram_quantile(0.99, sum by (le) (rate(otelcol_exporter_pooledotlp_attempt_duration_bucket[20s])))`, 3,
		},
	} {
		var a, b []float64
		same := assert.Eventually(t, func() bool {
			a, b = selfMetric(t, alerts, own), promQL(t, prometheus, theirs.expression)
			return len(a) == 1 && len(b) == 1 && b[0] > 0 && a[0] <= b[0]*theirs.tolerance && a[0] >= b[0]/theirs.tolerance
		}, 50*time.Second, 500*time.Millisecond)
		t.Logf("%s is %v, PromQL says %s is %v", own, a, theirs.expression, b)
		if !same {
			t.Logf("they may differ by a factor of %v", theirs.tolerance)
		}
	}
	assert.Equal(t, []float64{0}, selfMetric(t, alerts, `max({"otelcol.self.error.ratio"})`), "nothing fails")

	for _, board := range dashboards(t) {
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				expression := strings.NewReplacer("$__rate_interval", "10s", "$instance", ".*").Replace(target.Expr)
				assert.Eventually(t, func() bool { return len(promQL(t, prometheus, expression)) > 0 }, 20*time.Second, 500*time.Millisecond,
					"%s, %s shows nothing: %s", board.file, panel.Title, expression)
			}
		}
	}

	status, body := get(t, "http://"+prometheus+"/api/v1/rules")
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "CollectorQueueNearlyFull")
	assert.NotContains(t, body, `"health":"err"`)
	assert.Empty(t, promQL(t, prometheus, `ALERTS{alertstate="firing"}`))
}

func TestTheRulesForPrometheusFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(repository, "deploy", "prometheus", "otelcol-adaptive.rules")
	output, code := run(t, "promtool", "check", "rules", "--lint-fatal", rules+".yml")
	assert.Zero(t, code, output)
	output, code = run(t, "promtool", "test", "rules", rules+".test.yml")
	assert.Zero(t, code, output)
}

// TestEveryRuleForPrometheusIsTestedAndDescribed: promtool passes a rule that no test names.
func TestEveryRuleForPrometheusIsTestedAndDescribed(t *testing.T) {
	t.Parallel()
	file := func(name string) string {
		content, err := os.ReadFile(filepath.Join(repository, "deploy", "prometheus", name))
		require.NoError(t, err)
		return string(content)
	}
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(file("otelcol-adaptive.rules.yml"), -1)
	require.NotEmpty(t, alerts)
	tests, readme := file("otelcol-adaptive.rules.test.yml"), file("README.md")
	for _, alert := range alerts {
		assert.Contains(t, tests, "alertname: "+alert[1]+"\n")
		assert.Contains(t, readme, "| `"+alert[1]+"` |")
	}
	assert.Equal(t, len(alerts), strings.Count(readme, "| `Collector"), "the README has others")

	// What they look at exists.
	own := ownMetrics(t)
	for _, name := range regexp.MustCompile(`\botelcol_\w+`).FindAllString(file("otelcol-adaptive.rules.yml"), -1) {
		name = regexp.MustCompile(`_(?:bucket|sum)$`).ReplaceAllString(name, "")
		if !stockMetrics.MatchString(name) {
			assert.Contains(t, own, name)
		}
	}
}
