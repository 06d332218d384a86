package endpoint

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confighttp"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// BenchmarkRead is one scrape of 2,000 series over a real connection, in the format that a Collector answers with and in the
// other. The CPU time and the garbage are those of both sides.
func BenchmarkRead(b *testing.B) {
	for name, contentType := range map[string]expfmt.FormatType{"protobuf": expfmt.TypeProtoDelim, "text": expfmt.TypeTextPlain} {
		b.Run(name, func(b *testing.B) {
			text := largeExposition()
			body := []byte(text)
			if contentType == expfmt.TypeProtoDelim {
				body = []byte(inProtobuf(b, text))
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", string(expfmt.NewFormat(contentType)))
				_, _ = w.Write(body)
			}))
			defer server.Close()
			config := confighttp.NewDefaultClientConfig()
			config.Endpoint = server.URL
			source := New(config, componenttest.NewNopTelemetrySettings())
			if err := source.Start(b.Context(), componenttest.NewNopHost()); err != nil {
				b.Fatal(err)
			}
			defer source.Shutdown()
			source.Read(b.Context()) // the first one learns the series
			b.ReportAllocs()
			before := sourcetest.CPUTime(b)
			for b.Loop() {
				if r := source.Read(b.Context()); len(r.Faults) > 0 {
					b.Fatal(r.Faults[0].Err)
				}
			}
			b.ReportMetric(float64((sourcetest.CPUTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(sourcetest.LargeSeries, "series")
		})
	}
}
