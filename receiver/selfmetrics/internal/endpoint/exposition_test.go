package endpoint

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confighttp"
)

// step is one answer of a scripted telemetry endpoint.
type step struct {
	after       time.Duration // since the answer before
	body        string        // in the text format
	status      int           // 200 where it is 0
	contentType string        // of the text format where it is empty
}

// scripted is a telemetry endpoint that answers step by step, and a Source that reads it under a clock of its own.
type scripted struct {
	*Source
	steps []step
	now   time.Time
}

func newScripted(t *testing.T, steps ...step) *scripted {
	s := &scripted{steps: steps, now: time.Unix(1_000_000, 0)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	config := confighttp.NewDefaultClientConfig()
	config.Endpoint = server.URL + "/metrics"
	s.Source = New(config, componenttest.NewNopTelemetrySettings())
	s.Source.now = func() time.Time { return s.now }
	require.NoError(t, s.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(s.Shutdown)
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	next := s.steps[0]
	s.steps = s.steps[1:]
	s.now = s.now.Add(next.after)
	if next.contentType == "" {
		next.contentType = string(expfmt.NewFormat(expfmt.TypeTextPlain))
	}
	w.Header().Set("Content-Type", next.contentType)
	if next.status != 0 {
		w.WriteHeader(next.status)
	}
	_, _ = w.Write([]byte(next.body))
}

// inProtobuf writes text expositions as the endpoint of a Collector sends them to us.
func inProtobuf(tb testing.TB, text string) string {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(tb, err)
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, mf := range families {
		require.NoError(tb, encoder.Encode(mf))
	}
	return out.String()
}

// counter writes a counter with one series for each "labels value" pair.
func counter(name string, series ...string) string { return textOf("counter", name, series) }

// gauge writes a gauge with one series for each "labels value" pair.
func gauge(name string, series ...string) string { return textOf("gauge", name, series) }

func textOf(kind, name string, series []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# TYPE %s %s\n", name, kind)
	for _, s := range series {
		fmt.Fprintf(&b, "%s%s\n", name, s)
	}
	return b.String()
}

// histogram writes one histogram; counts are cumulative, the last is that of +Inf.
func histogram(name, labels string, bounds []float64, counts ...int) string {
	return fmt.Sprintf("# TYPE %s histogram\n%s", name, histogramSeries(name, labels, bounds, counts...))
}

func histogramSeries(name, labels string, bounds []float64, counts ...int) string {
	var b strings.Builder
	for i, count := range counts {
		le := "+Inf"
		if i < len(bounds) {
			le = fmt.Sprint(bounds[i])
		}
		fmt.Fprintf(&b, "%s_bucket{%s,le=%q} %d\n", name, labels, le, count)
	}
	fmt.Fprintf(&b, "%s_sum{%s} 1\n%s_count{%s} %d\n", name, labels, name, labels, counts[len(counts)-1])
	return b.String()
}

// largeExposition is what a busy Collector reports at the telemetry level "detailed": 2,000 series as Prometheus counts them,
// most of them buckets, more than a third of them of interest to us.
func largeExposition() string {
	const components = 30
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	counts := make([]int, len(bounds)+1)
	for i := range counts {
		counts[i] = 1000 * (i + 1)
	}
	var b strings.Builder
	b.WriteString(gauge("target_info", `{service_instance_id="one",service_name="otelcol",service_version="0.1.0"} 1`))
	for _, name := range []string{
		"otelcol_exporter_pooledotlp_attempt_duration_seconds", "http_server_request_body_size_bytes", "rpc_client_call_duration_seconds",
	} {
		fmt.Fprintf(&b, "# TYPE %s histogram\n", name)
		for i := range components {
			b.WriteString(histogramSeries(name, fmt.Sprintf(
				`exporter="pooledotlp/%d",data_type="traces",server_address="10.0.0.%d",server_port="4317",rpc_method="opentelemetry.proto.collector.trace.v1.TraceService/Export"`,
				i, i), bounds, counts...))
		}
	}
	for _, items := range itemSuffixes {
		for _, name := range []string{"otelcol_exporter_sent_", "otelcol_receiver_accepted_", "otelcol_connector_consumed_", "x_"} {
			var series []string
			for i := range components {
				series = append(series, fmt.Sprintf(`{exporter="e/%d",receiver="r/%d",transport="grpc"} %d`, i, i, 100*i))
			}
			b.WriteString(counter(name+items+"_total", series...))
		}
	}
	return b.String()
}

func seriesIn(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}
