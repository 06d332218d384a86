package selfmetrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
)

// BenchmarkScrape is a scrape of the process, the runtime and the host, with a telemetry endpoint that has nothing to say;
// BenchmarkRead of internal/endpoint is the rest.
func BenchmarkScrape(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	}))
	defer server.Close()
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = server.URL
	cfg.Controller.CollectionInterval = time.Nanosecond
	s := newScraper(cfg, receivertest.NewNopSettings(metadata.Type))
	require.NoError(b, s.start(b.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(b, s.shutdown(context.Background())) }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.scrape(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
