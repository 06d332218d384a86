package endpoint

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// started returns a Source for the address.
func started(t *testing.T, address string) *Source {
	t.Helper()
	config := confighttp.NewDefaultClientConfig()
	config.Endpoint = address
	s := New(config, componenttest.NewNopTelemetrySettings())
	require.NoError(t, s.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(s.Shutdown)
	return s
}

func requireFault(t *testing.T, r source.Reading, part, text string) {
	t.Helper()
	require.Len(t, r.Faults, 1)
	assert.Equal(t, part, r.Faults[0].Part)
	assert.ErrorContains(t, r.Faults[0].Err, text)
	assert.Equal(t, lost, r.Faults[0].Metrics)
	assert.Empty(t, r.Found)
}

func TestAbsentEndpoint(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	requireFault(t, started(t, address).Read(t.Context()), "connection", "connect")
}

func TestAddressThatIsNone(t *testing.T) {
	requireFault(t, started(t, "http://[::1").Read(t.Context()), "request", "missing ']'")
}

func TestAnswersThatAreNoMetrics(t *testing.T) {
	for name, tt := range map[string]struct {
		step step
		part string
		text string
	}{
		"an error":              {step{status: 404, body: "not here"}, "status", "404"},
		"a page":                {step{contentType: "text/html", body: "<html>"}, "content", `neither Prometheus text nor protocol buffers: "text/html"`},
		"garbled text":          {step{body: "otelcol_exporter_sent_spans{exporter= 5\n"}, "content", "does not answer with metrics"},
		"garbled protobuf":      {step{contentType: string(expfmt.NewFormat(expfmt.TypeProtoDelim)), body: "\x05hello"}, "content", "does not answer with metrics"},
		"truncated protobuf":    {step{contentType: string(expfmt.NewFormat(expfmt.TypeProtoDelim)), body: "\x50\x0a\x03"}, "content", "does not answer with metrics"},
		"more than we can hold": {step{body: strings.Repeat("# ", maxBytes/2+1)}, "content", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			requireFault(t, newScripted(t, tt.step).Read(t.Context()), tt.part, tt.text)
		})
	}
}

func TestAnAnswerThatBreaksOffIsNotHalfUsed(t *testing.T) {
	whole := items("traces", 0, 0, 100, 0)
	s := newScripted(t, step{body: whole}, step{after: time.Second, body: items("traces", 0, 0, 200, 0)[:len(whole)-30]},
		step{after: time.Second, body: items("traces", 0, 0, 300, 0)})
	s.Read(t.Context())
	require.Len(t, s.Read(t.Context()).Faults, 1)
	assertValue(t, sourcetest.Values(t, s.Read(t.Context())), "otelcol.self.throughput{direction=export,signal=traces}", 100)
}

// roundTripper answers after a delay, in virtual time.
type roundTripper struct{ delay time.Duration }

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	select {
	case <-time.After(r.delay):
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {string(expfmt.NewFormat(expfmt.TypeTextPlain))}}, Body: io.NopCloser(strings.NewReader("")),
		}, nil
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
}

func TestSlowEndpointIsLeftAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(confighttp.NewDefaultClientConfig(), componenttest.NewNopTelemetrySettings())
		s.client = &http.Client{Transport: roundTripper{delay: time.Minute}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		requireFault(t, s.Read(ctx), source.Deadline, "deadline")
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestProtobufAndTextTellTheSame(t *testing.T) {
	before, after := largeExposition(), strings.ReplaceAll(largeExposition(), "000\n", "100\n")
	text := between(t, before, after)
	protobuf := last(t, step{body: inProtobuf(t, before), contentType: string(expfmt.NewFormat(expfmt.TypeProtoDelim))},
		step{after: 10 * time.Second, body: inProtobuf(t, after), contentType: string(expfmt.NewFormat(expfmt.TypeProtoDelim))})
	assert.Equal(t, len(text), len(protobuf))
	for key, want := range text {
		assert.InDelta(t, want, protobuf[key], 1e-9, key)
	}
}

// TestNamesInEverySpelling: the endpoint may be configured to add units and types to names, or not, and to keep dots.
func TestNamesInEverySpelling(t *testing.T) {
	for _, name := range []string{
		"otelcol_exporter_pooledotlp_uncompressed_bytes", "otelcol_exporter_pooledotlp_uncompressed_bytes_total",
		"otelcol_exporter_pooledotlp_attempt_duration", "otelcol_exporter_pooledotlp_attempt_duration_seconds",
		"otelcol_exporter_sent_spans", "otelcol_exporter_sent_spans_total", "otelcol_processor_adaptivebatch_pending_bytes",
		"rpc_server_duration_milliseconds", "rpc.server.call.duration", "http_server_request_duration_seconds",
	} {
		_, found := lookup(name)
		assert.True(t, found, name)
	}
	for _, name := range []string{"", "up", "otelcol_exporter_sent", "otelcol_process_uptime_seconds_total", "x_seconds"} {
		_, found := lookup(name)
		assert.False(t, found, name)
	}
}

func TestStartNeedsItsAuthenticator(t *testing.T) {
	config := confighttp.NewDefaultClientConfig()
	config.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("nobody")})
	s := New(config, componenttest.NewNopTelemetrySettings())
	assert.ErrorContains(t, s.Start(t.Context(), componenttest.NewNopHost()), "client of the telemetry endpoint")
	s.Shutdown()
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(largeExposition()[:2000]), true)
	f.Add([]byte(inProtobuf(f, items("traces", 1, 2, 3, 4))), false)
	f.Fuzz(func(t *testing.T, body []byte, isText bool) {
		format := expfmt.NewFormat(expfmt.TypeProtoDelim)
		if isText {
			format = expfmt.NewFormat(expfmt.TypeTextPlain)
		}
		families, err := decode(strings.NewReader(string(body)), http.Header{"Content-Type": {string(format)}})
		if err != nil {
			return
		}
		s := New(confighttp.NewDefaultClientConfig(), componenttest.NewNopTelemetrySettings())
		now := time.Unix(1000, 0)
		for i := range 2 {
			for key, v := range s.reader.read(families, now.Add(time.Duration(i)*time.Second)).values {
				if key.role < queueSize && v < 0 {
					t.Fatalf("negative rate %v of %+v", v, key)
				}
			}
		}
	})
}
