package endpoint

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/window"
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
		"no content type":       {step{contentType: "nothing", body: "x 1"}, "content", `neither Prometheus text nor protocol buffers: "nothing"`},
		"garbled protobuf":      {step{contentType: protobufType, body: "\x05hello"}, "content", "metric family at byte 0"},
		"truncated protobuf":    {step{contentType: protobufType, body: "\x50\x0a\x03"}, "content", "byte 0: a metric family: unexpected EOF"},
		"a length of 2^48":      {step{contentType: protobufType, body: "\x80\x80\x80\x80\x80\x80\x80\x10"}, "content", "byte 0: a metric family: unexpected EOF"},
		"a length of 2^62":      {step{contentType: protobufType, body: "\x80\x80\x80\x80\x80\x80\x80\x80\x40"}, "content", "byte 0: a metric family: unexpected EOF"},
		"a label of no text":    {step{contentType: protobufType, body: protobufSeries("exporter", "\xff")}, "content", `must be UTF-8, found "exporter"="\xff"`},
		"a series too large":    {step{contentType: protobufType, body: protobufSeries("exporter", strings.Repeat("x", maxMetricBytes))}, "content", "must have at most 1048576 bytes"},
		"more than we can hold": {step{body: strings.Repeat("# ", maxBytes/2+1)}, "content", "must answer with at most 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			requireFault(t, newScripted(t, tt.step).Read(t.Context()), tt.part, tt.text)
		})
	}
}

const protobufType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// protobufSeries is a counter with one series, of whatever the label's value may be.
func protobufSeries(name, value string) string {
	field := func(number protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
	}
	pair := append(field(1, []byte(name)), field(2, []byte(value))...)
	family := append(field(familyName, []byte("otelcol_exporter_sent_spans")), field(familyMetric, field(1, pair))...)
	return string(protowire.AppendBytes(nil, family))
}

// TestManyEmptyFamiliesAreNothing: the protocol buffer parser of prometheus/model/textparse calls itself for each of them.
func TestManyEmptyFamiliesAreNothing(t *testing.T) {
	s := newScripted(t, step{contentType: protobufType, body: strings.Repeat("\x00", 1<<20)})
	assert.Empty(t, s.Read(t.Context()).Faults)
}

func TestAnErrorRepeatsLittleOfTheAnswer(t *testing.T) {
	s := newScripted(t, step{body: "otelcol_exporter_sent_spans{exporter=\"" + strings.Repeat("x", 1<<20) + "\n"})
	r := s.Read(t.Context())
	require.Len(t, r.Faults, 1)
	assert.Less(t, len(r.Faults[0].Err.Error()), 2*maxErrorText)
}

// endless is an answer without an end. It counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "# \n"[(e.read+i)%3]
	}
	e.read += len(p)
	return len(p), nil
}

func TestAnAnswerWithoutAnEndIsLeft(t *testing.T) {
	answer := &endless{}
	s := New(confighttp.NewDefaultClientConfig(), componenttest.NewNopTelemetrySettings())
	s.client = &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(answer)}, nil
	})}
	requireFault(t, s.Read(t.Context()), "content", "must answer with at most 8388608 bytes")
	assert.LessOrEqual(t, answer.read, maxBytes+1)
	assert.LessOrEqual(t, s.body.Cap(), keptBytes, "the memory is not kept")
}

// TestMoreSeriesThanAreRemembered: what is beyond the bound is left out, and that is told.
func TestMoreSeriesThanAreRemembered(t *testing.T) {
	const beyond = 7
	body := func(value int) string {
		var b strings.Builder
		for i := range maxSeries + beyond {
			fmt.Fprintf(&b, "otelcol_exporter_sent_spans{exporter=\"%d\"} %d\n", i, value)
		}
		return b.String()
	}
	s := newScripted(t, step{body: body(0)}, step{after: time.Second, body: body(1)})
	s.Read(t.Context())
	r := s.Read(t.Context())
	require.Len(t, r.Faults, 1)
	assert.Equal(t, "bound", r.Faults[0].Part)
	assert.ErrorContains(t, r.Faults[0].Err, "more than 20000 series that figures are made of; 7 were left out")
	values := sourcetest.Values(t, r)
	assertValue(t, values, "otelcol.self.throughput{direction=export,signal=traces}", maxSeries)
	assertValue(t, values, "otelcol.self.scrape.series", maxSeries)
	assert.Len(t, s.found.samples, maxSeries, "nor is memory taken for it")
}

func TestAnAnswerThatBreaksOffIsNotHalfUsed(t *testing.T) {
	whole := items("traces", 0, 0, 100, 0)
	s := newScripted(t, step{body: whole}, step{after: time.Second, body: items("traces", 0, 0, 200, 0)[:len(whole)-30]},
		step{after: time.Second, body: items("traces", 0, 0, 300, 0)})
	s.Read(t.Context())
	require.Len(t, s.Read(t.Context()).Faults, 1)
	assertValue(t, sourcetest.Values(t, s.Read(t.Context())), "otelcol.self.throughput{direction=export,signal=traces}", 100)
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func TestSlowEndpointIsLeftAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(confighttp.NewDefaultClientConfig(), componenttest.NewNopTelemetrySettings())
		s.client = &http.Client{Transport: transport(func(request *http.Request) (*http.Response, error) {
			<-request.Context().Done() // in virtual time
			return nil, request.Context().Err()
		})}
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
	protobuf := last(t, step{body: inProtobuf(t, before), contentType: protobufType},
		step{after: 10 * time.Second, body: inProtobuf(t, after), contentType: protobufType})
	assert.Equal(t, len(text), len(protobuf))
	for key, want := range text {
		assert.InDelta(t, want, protobuf[key], 1e-9, key)
	}
}

// TestTextInEveryForm: nothing depends on the order of labels and lines, or on how libraries happen to write them.
func TestTextInEveryForm(t *testing.T) {
	const name = "otelcol_exporter_pooledotlp_attempt_duration_seconds"
	const begin = "# HELP x y\n\n# TYPE " + name + " histogram\n"
	want := map[string]float64{
		"otelcol.self.export.latency{exporter=a,quantile=0.5}": 0.15, "otelcol.self.export.latency{exporter=b,quantile=0.5}": 0.5,
		"otelcol.self.export.latency{exporter=c,le=\"1,quantile=0.5}": 0.5,
	}
	for form, line := range map[string]func(exporter, le string, count int) string{
		"as libraries write it": func(e, le string, n int) string {
			return fmt.Sprintf("%s_bucket{exporter=%q,le=%q} %d\n", name, e, le, n)
		},
		"the bound first": func(e, le string, n int) string {
			return fmt.Sprintf("%s_bucket{le=%q,exporter=%q} %d\n", name, le, e, n)
		},
		"spaces and commas": func(e, le string, n int) string {
			return fmt.Sprintf("%s_bucket { exporter = %q , le = %q , } %d 1234\n", name, e, le, n)
		},
		"a quoted name": func(e, le string, n int) string {
			return fmt.Sprintf("{%q,exporter=%q,le=%q} %d\n", name+"_bucket", e, le, n)
		},
		"with dots": func(e, le string, n int) string {
			return fmt.Sprintf("{%q,exporter=%q,le=%q} %d\n", strings.Replace(name, "otelcol_exporter", "otelcol.exporter", 1)+"_bucket", e, le, n)
		},
	} {
		t.Run(form, func(t *testing.T) {
			at := func(n int) string {
				var b strings.Builder
				b.WriteString(begin)
				for _, le := range []string{"0.1", "0.2", "+Inf"} { // of three histograms side by side
					count := map[string]int{"0.1": 0, "0.2": n, "+Inf": n}[le]
					b.WriteString(line("a", le, count))
				}
				for _, le := range []string{"1.0", "+Inf"} {
					b.WriteString(line("b", le, n))
					b.WriteString(line(`c,le="1`, le, n))
				}
				return b.String() + name + "_sum{exporter=\"a\"} 1\n" + name + "_count{exporter=\"a\"} 1" // without a line break
			}
			values := between(t, at(0), at(100))
			for key, v := range want {
				assertValue(t, values, key, v)
			}
		})
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
	f.Add([]byte(histogram("rpc_server_call_duration_seconds", `rpc_method="opentelemetry.proto.collector.x",le="1"`, seconds, 1, 2, 3)), true)
	f.Add([]byte(`{"rpc.server.call.duration_bucket",le="+Inf"} 1`), true)
	f.Add([]byte(inProtobuf(f, items("traces", 1, 2, 3, 4))), false)
	f.Add([]byte(inProtobuf(f, largeExposition())[:1000]), false)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), false)
	f.Fuzz(func(t *testing.T, body []byte, isText bool) {
		contentType := protobufType
		if isText {
			contentType = "text/plain"
		}
		var e exposition
		if e.decode(body, contentType) != nil {
			return
		}
		r := reader{window: window.New(maxSeries)}
		for i := range 2 {
			// Twice, as what the first answer leaves behind must not show.
			if err := e.decode(body, contentType); err != nil {
				t.Fatal(err)
			}
			figs := r.read(&e, time.Unix(int64(1000+i), 0))
			for role, values := range figs.values {
				for key, v := range values {
					if role.isCounter() && !(v >= 0) {
						t.Fatalf("rate %v of %+v", v, key)
					}
				}
			}
			for key, b := range figs.durations {
				for _, q := range b.Quantiles(source.Quantiles...) {
					if math.IsNaN(q) || math.IsInf(q, 0) {
						t.Fatalf("quantile %v of %+v", q, key)
					}
				}
			}
		}
	})
}
