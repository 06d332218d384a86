package selfmetrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// scraperOf2000Series is a scraper whose endpoint answers with that many series, as a Collector does or in the text format.
func scraperOf2000Series(tb testing.TB, format expfmt.FormatType) *selfScraper {
	tb.Helper()
	body := []byte(sourcetest.LargeExposition())
	if format == expfmt.TypeProtoDelim {
		body = []byte(sourcetest.Protobuf(tb, string(body)))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", string(expfmt.NewFormat(format)))
		_, _ = w.Write(body)
	}))
	tb.Cleanup(server.Close)
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = server.URL
	cfg.Controller.CollectionInterval = time.Nanosecond
	s := newScraper(cfg, receivertest.NewNopSettings(metadata.Type))
	require.NoError(tb, s.start(tb.Context(), componenttest.NewNopHost()))
	tb.Cleanup(func() { require.NoError(tb, s.shutdown(context.Background())) })
	for range 2 { // learns the series, and has every figure
		_, err := s.scrape(tb.Context())
		require.NoError(tb, err)
	}
	return s
}

var formats = map[string]expfmt.FormatType{"protobuf": expfmt.TypeProtoDelim, "text": expfmt.TypeTextPlain}

// BenchmarkScrape is a whole scrape: the telemetry endpoint with 2,000 series, the process, the runtime and the host. The CPU time
// and the garbage contain what it costs to send the answer.
func BenchmarkScrape(b *testing.B) {
	for name, format := range formats {
		b.Run(name, func(b *testing.B) {
			s := scraperOf2000Series(b, format)
			b.ReportAllocs()
			before := sourcetest.CPUTime(b)
			for b.Loop() {
				if _, err := s.scrape(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((sourcetest.CPUTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}
