package e2e

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted is a telemetry endpoint whose counters grow steadily since it started. So every scrape, whenever it comes, tells the same
// rates, ratios and quantiles.
type scripted struct {
	mu       sync.Mutex
	instance int
	started  time.Time
	failing  bool
	answers  int // good ones, in a row and of one instance
}

// restart begins anew from zero, as another process.
func (s *scripted) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instance++
	s.started, s.answers = time.Now(), 0
}

func (s *scripted) fail(failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = failing
}

// counters are what it tells, and by how much it grows in a second.
var counters = []struct {
	series    string
	perSecond float64
}{
	{`otelcol_receiver_accepted_spans{receiver="otlp"}`, 10_000},
	{`otelcol_receiver_refused_spans{receiver="otlp"}`, 250},
	{`otelcol_exporter_sent_spans{exporter="x"}`, 9_000},
	{`otelcol_exporter_send_failed_spans{exporter="x"}`, 450},
	{`otelcol_exporter_pooledotlp_uncompressed_bytes{exporter="x"}`, 8_000_000},
	{`otelcol_exporter_pooledotlp_wire_bytes{exporter="x"}`, 1_600_000},
	{`otelcol_exporter_pooledotlp_retries{exporter="x",data_type="traces"}`, 700},
	{`otelcol_exporter_pooledotlp_attempt_duration_bucket{exporter="x",data_type="traces",le="0.005"}`, 40_000},
	{`otelcol_exporter_pooledotlp_attempt_duration_bucket{exporter="x",data_type="traces",le="0.025"}`, 90_000},
	{`otelcol_exporter_pooledotlp_attempt_duration_bucket{exporter="x",data_type="traces",le="0.1"}`, 98_000},
	{`otelcol_exporter_pooledotlp_attempt_duration_bucket{exporter="x",data_type="traces",le="0.5"}`, 99_800},
	{`otelcol_exporter_pooledotlp_attempt_duration_bucket{exporter="x",data_type="traces",le="+Inf"}`, 100_000},
	{`rpc_server_call_duration_bucket{rpc_method="opentelemetry.proto.collector.trace.v1.X/Export",le="0.001"}`, 30_000},
	{`rpc_server_call_duration_bucket{rpc_method="opentelemetry.proto.collector.trace.v1.X/Export",le="0.01"}`, 99_900},
	{`rpc_server_call_duration_bucket{rpc_method="opentelemetry.proto.collector.trace.v1.X/Export",le="+Inf"}`, 100_000},
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		s.answers = 0
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.answers++
	elapsed := time.Since(s.started).Seconds()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = fmt.Fprintf(w, "target_info{service_instance_id=\"%d\"} 1\n", s.instance)
	for _, c := range counters {
		_, _ = fmt.Fprintf(w, "%s %.0f\n", c.series, math.Floor(c.perSecond*elapsed))
	}
}

func (s *scripted) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// selfOnly is a Collector with nothing but selfmetrics and the alerts, which keep its metrics.
func selfOnly(p ports, alerts, endpoint string) string {
	return fmt.Sprintf(`
receivers: {selfmetrics: {collection_interval: 1s, initial_delay: 0s, telemetry: {endpoint: %q}}}
exporters: {alertrules: {}}
extensions: {alertmanager: {http: {endpoint: %q}, builtin_rules: {enabled: false}}}
service:
  extensions: [alertmanager]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}
  pipelines: {metrics: {receivers: [selfmetrics], exporters: [alertrules]}}
`, endpoint, alerts, portOf(p.metrics))
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// TestSelfMetricsSaysWhatPrometheusSays lets selfmetrics and a real Prometheus scrape one endpoint: before and after it failed for a
// while, and after it began anew.
func TestSelfMetricsSaysWhatPrometheusSays(t *testing.T) {
	t.Parallel()
	source := &scripted{started: time.Now()}
	server := httptest.NewServer(source)
	t.Cleanup(server.Close)
	p, alerts := freePorts(t), freeAddress(t)
	startCollector(t, distribution(t), p, selfOnly(p, alerts, server.URL+"/metrics"))
	prometheus := startPrometheus(t, strings.TrimPrefix(server.URL, "http://"))

	const window = "[10s]"
	rate := func(name string) string { return "rate(" + name + window + ")" }
	share := func(of, rest string) string {
		return fmt.Sprintf("sum(%[1]s) / (sum(%[1]s) + sum(%[2]s))", rate(of), rate(rest))
	}
	attempts := rate("otelcol_exporter_pooledotlp_attempt_duration_bucket")
	// A rate is over the time between two scrapes, of which each may be late by some milliseconds; ratios and quantiles are exact.
	const inexact, exact = 0.05, 0.005
	comparisons := map[string]struct {
		expression string
		tolerance  float64
	}{
		`{"otelcol.self.throughput", direction="receive"}`:   {rate("otelcol_receiver_accepted_spans"), inexact},
		`{"otelcol.self.throughput", direction="export"}`:    {rate("otelcol_exporter_sent_spans"), inexact},
		`{"otelcol.self.retries"}`:                           {rate("otelcol_exporter_pooledotlp_retries"), inexact},
		`{"otelcol.self.request.rate", direction="receive"}`: {rate(`rpc_server_call_duration_bucket{le="+Inf"}`), inexact},
		`{"otelcol.self.error.ratio", direction="receive"}`:  {share("otelcol_receiver_refused_spans", "otelcol_receiver_accepted_spans"), exact},
		`{"otelcol.self.success.ratio", direction="export"}`: {share("otelcol_exporter_sent_spans", "otelcol_exporter_send_failed_spans"), exact},
		`{"otelcol.self.compression.ratio"}`:                 {rate("otelcol_exporter_pooledotlp_uncompressed_bytes") + " / " + rate("otelcol_exporter_pooledotlp_wire_bytes"), exact},
		`{"otelcol.self.export.latency", quantile="0.5"}`:    {"histogram_quantile(0.5, " + attempts + ")", exact},
		`{"otelcol.self.export.latency", quantile="0.95"}`:   {"histogram_quantile(0.95, " + attempts + ")", exact},
		`{"otelcol.self.export.latency", quantile="0.99"}`:   {"histogram_quantile(0.99, " + attempts + ")", exact},
		`{"otelcol.self.response.time", quantile="0.95"}`:    {"histogram_quantile(0.95, " + rate("rpc_server_call_duration_bucket") + ")", exact},
	}
	compare := func(when string) {
		// Two ask once a second each, and both are to look back over good answers alone.
		require.Eventually(t, func() bool { return source.answered() > 24 }, 40*time.Second, 100*time.Millisecond)
		for own, theirs := range comparisons {
			own = "avg_over_time(" + own + window + ")"
			var a, b []float64
			assert.Eventually(t, func() bool {
				a, b = selfMetric(t, alerts, own), promQL(t, prometheus, theirs.expression)
				return len(a) == 1 && len(b) == 1 && b[0] > 0 && math.Abs(a[0]/b[0]-1) <= theirs.tolerance
			}, 30*time.Second, 200*time.Millisecond, "%s, %s must be what PromQL says to %s", when, own, theirs.expression)
			t.Logf("%s: %s is %v, PromQL says %v", when, own, a, b)
		}
	}
	up := func() float64 {
		values := selfMetric(t, alerts, `{"otelcol.self.scrape.up", source="endpoint"}`)
		if len(values) != 1 {
			return -1
		}
		return values[0]
	}
	compare("at first")
	source.fail(true)
	require.Eventually(t, func() bool { return up() == 0 }, 20*time.Second, 100*time.Millisecond)
	source.fail(false)
	require.Eventually(t, func() bool { return up() == 1 }, 20*time.Second, 100*time.Millisecond)
	compare("after a failure")
	source.restart()
	compare("after a restart")

	for _, name := range []string{"otelcol.self.throughput", "otelcol.self.retries", "otelcol.self.error.ratio"} {
		for _, lowest := range selfMetric(t, alerts, `min_over_time({"`+name+`"}[5m])`) {
			assert.GreaterOrEqual(t, lowest, 0.0, name)
		}
		for _, highest := range selfMetric(t, alerts, `max_over_time({"`+name+`"}[5m])`) {
			assert.Less(t, highest, 50_000.0, "no restart or gap is taken for a leap of "+name)
		}
	}
}

// TestSelfMetricsOnTheBytePath: where requests are never decoded, throughput counts every item all the same, and response times
// are there at the level `detailed`.
func TestSelfMetricsOnTheBytePath(t *testing.T) {
	t.Parallel()
	backend, alerts := freeAddress(t), freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	c := startCollector(t, distribution(t), p, p.pooledReceiver(backend),
		"--config", `yaml:receivers::selfmetrics: {collection_interval: 1s, initial_delay: 0s, telemetry: {endpoint: "http://`+p.metrics+`/metrics"}}`,
		"--config", `yaml:exporters::alertrules: {}`,
		"--config", `yaml:extensions::alertmanager: {http: {endpoint: "`+alerts+`"}}`,
		"--config", `yaml:service::extensions: [health_check, alertmanager]`,
		"--config", `yaml:service::telemetry::metrics::level: detailed`,
		"--config", `yaml:service::pipelines::metrics/self: {receivers: [selfmetrics], exporters: [alertrules]}`)
	signals, _ := c.metric(t, byteMetric)
	require.EqualValues(t, 3, signals, "this is the byte path")
	require.Eventually(t, func() bool { return len(selfMetric(t, alerts, `{"otelcol.self.cpu.limit"}`)) == 1 }, 20*time.Second, 100*time.Millisecond)

	const requests, items = 60, 100
	client := newClient(t, p.grpc)
	for i := range requests {
		require.NoError(t, client.send(t.Context(), i*items, items))
		time.Sleep(50 * time.Millisecond) // a load of some seconds; nothing depends on how many
	}
	requireExactlyOnce(t, arrived, arrived.spans, sequence(0, requests*items))

	// A rate for each second or so: their sum is the number of items, as exactly as the seconds are kept.
	for _, direction := range []string{"receive", "export"} {
		var sum []float64
		assert.Eventually(t, func() bool {
			sum = selfMetric(t, alerts, `sum_over_time({"otelcol.self.throughput", signal="traces", direction="`+direction+`"}[5m])`)
			return len(sum) == 1 && math.Abs(sum[0]/(requests*items)-1) < 0.15
		}, 20*time.Second, 200*time.Millisecond, "%s: %d items were sent", direction, requests*items)
		t.Logf("%s: %v of %d items", direction, sum, requests*items)
	}
	for name, ever := range map[string]string{
		"response time": `max_over_time({"otelcol.self.response.time", "network.protocol.name"="grpc", quantile="0.99"}[5m])`,
		"latency":       `max_over_time({"otelcol.self.export.latency", exporter="pooledotlp", quantile="0.99"}[5m])`,
		"requests in":   `max_over_time({"otelcol.self.request.rate", direction="receive"}[5m])`,
		"requests out":  `max_over_time({"otelcol.self.request.rate", direction="export"}[5m])`,
		"success":       `min_over_time({"otelcol.self.success.ratio", signal="traces", direction="receive"}[5m]) == 1`,
		"batch target":  `max_over_time({"otelcol.self.batch.target", signal="traces"}[5m])`,
		"buffers":       `max_over_time({"otelcol.self.pool.hit.ratio", "otelcol.component.kind"="receiver", pool="buffers"}[5m])`,
		"connections":   `max_over_time({"otelcol.self.connections", state="ready"}[5m])`,
		"compression":   `max_over_time({"otelcol.self.compression.ratio"}[5m]) > 1`,
	} {
		values := selfMetric(t, alerts, ever)
		if assert.NotEmpty(t, values, name) {
			assert.Positive(t, values[0], name)
		}
	}
}

// TestSelfMetricsBesideStockComponentsAlone runs it with nothing configured, not even the endpoint, and the stock components of a
// Collector that has none of our others.
func TestSelfMetricsBesideStockComponentsAlone(t *testing.T) {
	t.Parallel()
	probe, err := net.Listen("tcp", "127.0.0.1:8888")
	if err != nil {
		t.Skip("something on this machine has port 8888, the default")
	}
	require.NoError(t, probe.Close())
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	startCollector(t, distribution(t), p, fmt.Sprintf(`
receivers: {selfmetrics: {}, otlp: {protocols: {grpc: {endpoint: %q}}}}
processors: {batch: {timeout: 10ms}}
exporters: {otlp_grpc: {endpoint: %q, tls: {insecure: true}}}
service:
  telemetry: {metrics: {level: detailed}}
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [otlp_grpc]}
    metrics: {receivers: [selfmetrics], exporters: [otlp_grpc]}
`, p.grpc, backend), "--config", "yaml:receivers::selfmetrics::collection_interval: 1s")

	require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 10))
	require.Eventually(t, func() bool { return arrived.named("otelcol.self.throughput") }, 20*time.Second, 100*time.Millisecond)
	require.NoError(t, newClient(t, p.grpc).send(t.Context(), 10, 10))
	for _, name := range []string{
		"otelcol.self.error.ratio", "otelcol.self.success.ratio", "otelcol.self.request.rate", "otelcol.self.export.latency", "otelcol.self.response.time",
		"otelcol.self.queue.size", "otelcol.self.queue.utilization", "otelcol.self.in_flight", "otelcol.self.scrape.up",
		"process.cpu.utilization", "process.memory.usage", "go.goroutine.count", "system.cpu.utilization", "system.network.io",
	} {
		require.Eventually(t, func() bool { return arrived.named(name) }, 20*time.Second, 100*time.Millisecond, name)
	}
	for _, name := range []string{"otelcol.self.batch.target", "otelcol.self.connections", "otelcol.self.compression.ratio", "otelcol.self.pending.bytes", "otelcol.self.pool.hit.ratio"} {
		assert.False(t, arrived.named(name), "%s: nothing here has it", name)
	}
}
