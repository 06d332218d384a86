package endpoint

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// last plays all steps and returns what the last one reports.
func last(t *testing.T, steps ...step) map[string]float64 {
	t.Helper()
	s := newScripted(t, steps...)
	var values map[string]float64
	for range steps {
		reading := s.Read(t.Context())
		require.Empty(t, reading.Faults)
		values = sourcetest.Values(t, reading)
	}
	return values
}

// between is last for two scrapes, 10 s apart.
func between(t *testing.T, before, after string) map[string]float64 {
	t.Helper()
	return last(t, step{body: before}, step{after: 10 * time.Second, body: after})
}

func assertValue(t *testing.T, values map[string]float64, key string, want float64) {
	t.Helper()
	require.Contains(t, values, key)
	assert.InDelta(t, want, values[key], 1e-9, key)
}

// assertAbsent holds that no data point of the metric was written.
func assertAbsent(t *testing.T, values map[string]float64, metric string) {
	t.Helper()
	for key := range values {
		if key == metric || len(key) > len(metric) && key[:len(metric)+1] == metric+"{" {
			assert.Fail(t, "not absent", "%s is %v", key, values[key])
		}
	}
}

func items(signal string, accepted, refused, sent, unsent int) string {
	suffix := map[string]string{"traces": "spans", "metrics": "metric_points", "logs": "log_records", "profiles": "profile_samples"}[signal]
	of := func(name string, value int, label string) string {
		return counter(name+suffix, fmt.Sprintf(`{%s="c"} %d`, label, value))
	}
	return of("otelcol_receiver_accepted_", accepted, "receiver") + of("otelcol_receiver_refused_", refused, "receiver") +
		of("otelcol_exporter_sent_", sent, "exporter") + of("otelcol_exporter_send_failed_", unsent, "exporter")
}

func TestThroughputAndRatiosBySignalAndDirection(t *testing.T) {
	for _, signal := range []string{"traces", "metrics", "logs", "profiles"} {
		values := between(t, items(signal, 100, 10, 50, 0), items(signal, 190, 20, 130, 20))
		at := func(direction string) string { return fmt.Sprintf("{direction=%s,signal=%s}", direction, signal) }
		assertValue(t, values, "otelcol.self.throughput"+at("receive"), 9)
		assertValue(t, values, "otelcol.self.throughput"+at("export"), 8)
		assertValue(t, values, "otelcol.self.error.ratio"+at("receive"), 0.1)
		assertValue(t, values, "otelcol.self.success.ratio"+at("receive"), 0.9)
		assertValue(t, values, "otelcol.self.error.ratio"+at("export"), 0.2)
		assertValue(t, values, "otelcol.self.success.ratio"+at("export"), 0.8)
		assertValue(t, values, fmt.Sprintf("otelcol.self.dropped{reason=not_sent,signal=%s}", signal), 2)
	}
}

func TestNothingHappenedIsARateOfZeroAndNoRatio(t *testing.T) {
	values := between(t, items("traces", 100, 10, 50, 5), items("traces", 100, 10, 50, 5))
	assertValue(t, values, "otelcol.self.throughput{direction=export,signal=traces}", 0)
	assertAbsent(t, values, "otelcol.self.error.ratio")
	assertAbsent(t, values, "otelcol.self.success.ratio")
}

func TestFirstScrapeHasNoRates(t *testing.T) {
	values := last(t, step{body: items("traces", 100, 10, 50, 5) + gauge("otelcol_exporter_queue_size", `{exporter="e",data_type="traces"} 3`)})
	assertAbsent(t, values, "otelcol.self.throughput")
	assertAbsent(t, values, "otelcol.self.error.ratio")
	assertValue(t, values, "otelcol.self.queue.size{exporter=e,signal=traces}", 3)
}

func TestMissingFamiliesAreAbsentNotZero(t *testing.T) {
	values := between(t, gauge("target_info", `{service_instance_id="a"} 1`), gauge("target_info", `{service_instance_id="a"} 1`))
	assert.Equal(t, map[string]float64{"otelcol.self.scrape.series": 0}, values)
}

func TestSeriesThatComeGoAndRestart(t *testing.T) {
	sent := func(instance string, series ...string) string {
		return gauge("target_info", fmt.Sprintf(`{service_instance_id=%q} 1`, instance)) + counter("otelcol_exporter_sent_spans", series...)
	}
	const key = "otelcol.self.throughput{direction=export,signal=traces}"
	const interval = 10 * time.Second

	t.Run("a reset of one series of two", func(t *testing.T) {
		values := between(t, sent("a", `{exporter="x"} 1000`, `{exporter="y"} 1000`), sent("a", `{exporter="x"} 20`, `{exporter="y"} 1010`))
		assertValue(t, values, key, 3)
	})
	t.Run("a series that appears", func(t *testing.T) {
		values := between(t, sent("a", `{exporter="x"} 1000`), sent("a", `{exporter="x"} 1000`, `{exporter="y"} 10`))
		assertValue(t, values, key, 1)
	})
	t.Run("a gap", func(t *testing.T) {
		values := last(t, step{body: sent("a", `{exporter="x"} 100`)}, step{after: interval, body: sent("a", `{exporter="y"} 0`)},
			step{after: interval, body: sent("a", `{exporter="x"} 300`)})
		assertValue(t, values, key, 10)
	})
	t.Run("not a number", func(t *testing.T) {
		values := last(t, step{body: sent("a", `{exporter="x"} 100`)}, step{after: interval, body: sent("a", `{exporter="x"} NaN`)},
			step{after: interval, body: sent("a", `{exporter="x"} 300`)})
		assertValue(t, values, key, 10)
	})
	t.Run("a restart that overtakes the old value", func(t *testing.T) {
		values := between(t, sent("a", `{exporter="x"} 100`), sent("b", `{exporter="x"} 150`))
		assertValue(t, values, key, 15)
	})
	t.Run("a failed scrape between", func(t *testing.T) {
		s := newScripted(t, step{body: sent("a", `{exporter="x"} 100`)}, step{after: interval, status: 503},
			step{after: interval, body: sent("a", `{exporter="x"} 300`)})
		s.Read(t.Context())
		require.Len(t, s.Read(t.Context()).Faults, 1)
		assertValue(t, sourcetest.Values(t, s.Read(t.Context())), key, 10)
	})
}

func TestGaugesThatAreNoNumberAreAbsent(t *testing.T) {
	values := last(t, step{body: gauge("otelcol_exporter_queue_size", `{exporter="e",data_type="traces"} NaN`, `{exporter="e",data_type="logs"} +Inf`)})
	assertAbsent(t, values, "otelcol.self.queue.size")
}

var seconds = []float64{0.1, 0.2, 0.4}

func TestExportLatencyIsPooledotlpsOwnWhereThereIsOne(t *testing.T) {
	const attempt, rpc = "otelcol_exporter_pooledotlp_attempt_duration_seconds", "rpc_client_call_duration_seconds"
	const method = `rpc_method="opentelemetry.proto.collector.trace.v1.TraceService/Export",server_address="h",server_port="1"`
	before := histogram(attempt, `exporter="p",data_type="traces"`, seconds, 0, 0, 0, 0) + histogram(rpc, method, seconds, 0, 0, 0, 0)
	after := histogram(attempt, `exporter="p",data_type="traces"`, seconds, 0, 100, 100, 100) + histogram(rpc, method, seconds, 100, 100, 100, 100)
	values := between(t, before, after)
	assertValue(t, values, "otelcol.self.export.latency{exporter=p,quantile=0.5}", 0.15)
	assertValue(t, values, "otelcol.self.export.latency{exporter=p,quantile=0.95}", 0.195)
	assertValue(t, values, "otelcol.self.export.latency{exporter=p,quantile=0.99}", 0.199)
	assert.NotContains(t, values, "otelcol.self.export.latency{exporter=h:1,quantile=0.5}")
}

func TestExportLatencyOfOtherExportersComesFromTheirInstrumentation(t *testing.T) {
	series := func(count int) string {
		counts := []int{0, count, count, count}
		milliseconds := []float64{100, 200, 400}
		return histogram("rpc_client_duration_milliseconds", `rpc_service="opentelemetry.proto.collector.trace.v1.TraceService",rpc_method="Export",server_address="h",server_port="1"`, milliseconds, counts...) +
			histogram("http_client_request_duration_seconds", `server_address="w",server_port="2"`, seconds, counts...) +
			histogram("rpc_client_call_duration_seconds", `rpc_method="etcdserverpb.KV/Range",server_address="e",server_port="3"`, seconds, counts...)
	}
	values := between(t, series(0), series(100))
	assertValue(t, values, "otelcol.self.export.latency{exporter=h:1,quantile=0.5}", 0.15)
	assertValue(t, values, "otelcol.self.export.latency{exporter=w:2,quantile=0.5}", 0.15)
	assert.NotContains(t, values, "otelcol.self.export.latency{exporter=e:3,quantile=0.5}", "etcd is no exporter")
	assertValue(t, values, "otelcol.self.request.rate{direction=export}", 20)
}

// TestEveryExportersLatencyIsThereOnce: the calls of an exporter that measures itself are in the RPC instrumentation, too.
func TestEveryExportersLatencyIsThereOnce(t *testing.T) {
	const attempt, rpc, peer = "otelcol_exporter_pooledotlp_attempt_duration", "rpc_client_call_duration", `",server_address="h",server_port="1"`
	series := func(count int) string {
		counts := []int{0, count, count, count}
		return attemptsOf(count, 0, 0) + histogram(attempt, `exporter="p",data_type="traces"`, seconds, counts...) +
			"# TYPE rpc_client_call_duration histogram\n" +
			histogramSeries(rpc, `rpc_method="opentelemetry.proto.collector.trace.v1.TraceService/Export`+peer, seconds, counts...) +
			histogramSeries(rpc, `rpc_method="opentelemetry.proto.collector.logs.v1.LogsService/Export`+peer, seconds, counts...) +
			histogramSeries(rpc, `rpc_method="opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export`+peer, seconds, counts...) +
			histogram("http_client_request_duration", `server_address="w",server_port="2"`, seconds, counts...)
	}
	values := between(t, series(0), series(100))
	assertValue(t, values, "otelcol.self.export.latency{exporter=p,quantile=0.5}", 0.15)
	assertValue(t, values, "otelcol.self.export.latency{exporter=h:1,quantile=0.5}", 0.15)
	assert.NotContains(t, values, "otelcol.self.export.latency{exporter=w:2,quantile=0.5}", "HTTP does not tell the signal")
	assertValue(t, values, "otelcol.self.request.rate{direction=export}", 30)
}

func TestResponseTimeOfReceivers(t *testing.T) {
	series := func(count int) string {
		return histogram("rpc_server_call_duration_seconds", `rpc_method="opentelemetry.proto.collector.metrics.v1.MetricsService/Export"`, seconds, 0, count, count, count) +
			"# TYPE http_server_request_duration_seconds histogram\n" +
			histogramSeries("http_server_request_duration_seconds", `http_route="/v1/traces"`, seconds, count, count, count, count) +
			histogramSeries("http_server_request_duration_seconds", `http_route="/metrics"`, seconds, 0, 0, 0, 7*count)
	}
	values := between(t, series(0), series(100))
	assertValue(t, values, "otelcol.self.response.time{network.protocol.name=grpc,quantile=0.5}", 0.15)
	assertValue(t, values, "otelcol.self.response.time{network.protocol.name=http,quantile=0.5}", 0.05)
	assertValue(t, values, "otelcol.self.request.rate{direction=receive}", 20)
}

func TestLatencyIsAbsentWhereNothingWasSent(t *testing.T) {
	h := histogram("otelcol_exporter_pooledotlp_attempt_duration_seconds", `exporter="p",data_type="traces"`, seconds, 1, 2, 3, 4)
	values := between(t, h, h)
	assertAbsent(t, values, "otelcol.self.export.latency")
	assertAbsent(t, values, "otelcol.self.response.time")
}

func TestAHistogramWithNonsenseIsAGap(t *testing.T) {
	const name = "otelcol_exporter_pooledotlp_attempt_duration_seconds"
	h := func(count string) string {
		return fmt.Sprintf("# TYPE %[1]s histogram\n%[1]s_bucket{exporter=\"p\",le=\"NaN\"} 1\n%[1]s_bucket{exporter=\"p\",le=\"+Inf\"} %[2]s\n", name, count)
	}
	values := between(t, h("1"), h("2"))
	assertAbsent(t, values, "otelcol.self.export.latency")
	for key, v := range values {
		assert.False(t, math.IsNaN(v), key)
	}
}
