package endpoint

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confighttp"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
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
func inProtobuf(tb testing.TB, text string) string { return sourcetest.Protobuf(tb, text) }

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

func largeExposition() string { return sourcetest.LargeExposition() }
