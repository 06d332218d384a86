package sourcetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// LargeSeries is the number of series in LargeExposition, as Prometheus counts them.
const LargeSeries = 2011

// LargeExposition is what a busy Collector reports at the telemetry level "detailed", in the text format: 2,000 series, most of
// them buckets, more than a third of them of interest to us.
func LargeExposition() string {
	const components = 30
	var b strings.Builder
	b.WriteString("# TYPE target_info gauge\ntarget_info{service_instance_id=\"one\",service_name=\"otelcol\",service_version=\"0.1.0\"} 1\n")
	for _, name := range []string{
		"otelcol_exporter_pooledotlp_attempt_duration_seconds", "http_server_request_body_size_bytes", "rpc_client_call_duration_seconds",
	} {
		fmt.Fprintf(&b, "# TYPE %s histogram\n", name)
		for i := range components {
			labels := fmt.Sprintf(`exporter="pooledotlp/%d",data_type="traces",server_address="10.0.0.%d",server_port="4317",`+
				`rpc_method="opentelemetry.proto.collector.trace.v1.TraceService/Export"`, i, i)
			for j, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10", "+Inf"} {
				fmt.Fprintf(&b, "%s_bucket{%s,le=%q} %d\n", name, labels, le, 1000*(j+1))
			}
			fmt.Fprintf(&b, "%[1]s_sum{%[2]s} 1\n%[1]s_count{%[2]s} 15000\n", name, labels)
		}
	}
	for _, items := range []string{"spans", "metric_points", "log_records", "profile_samples"} {
		for _, name := range []string{"otelcol_exporter_sent_", "otelcol_receiver_accepted_", "otelcol_connector_consumed_", "x_"} {
			fmt.Fprintf(&b, "# TYPE %s%s_total counter\n", name, items)
			for i := range components {
				fmt.Fprintf(&b, "%s%s_total{exporter=\"e/%d\",receiver=\"r/%d\",transport=\"grpc\"} %d\n", name, items, i, i, 100*i)
			}
		}
	}
	return b.String()
}

// Protobuf writes a text exposition in the protocol buffer format, as the endpoint of a Collector sends it to us.
func Protobuf(tb testing.TB, text string) string {
	tb.Helper()
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
