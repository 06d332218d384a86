package pooledotlp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// startHTTPBackend serves a scripted backend; handlers get the body as it came.
func startHTTPBackend(t testing.TB, handle func(w http.ResponseWriter, r *http.Request, body []byte)) (url string) {
	t.Helper()
	return startHTTPServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := readAll(t, r); body != nil {
			handle(w, r, body)
		}
	}))
}

func startHTTPServer(t testing.TB, handler http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// readAll returns the body of a request, or nil when the client went away.
func readAll(t testing.TB, r *http.Request) []byte {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	return append([]byte{}, body...)
}

func answer(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// The table of the OTLP specification, https://opentelemetry.io/docs/specs/otlp/#failures-1, and what is ours beyond it.
func TestHTTPStatusMatrix(t *testing.T) {
	rows := map[string]struct {
		answer  func(http.ResponseWriter)
		retried bool
		told    codes.Code
		outcome attempt.Outcome
	}{
		"400":                       {answer(400), false, codes.InvalidArgument, attempt.Rejected},
		"401":                       {answer(401), true, codes.Unavailable, attempt.Failed},
		"402":                       {answer(402), false, codes.Unknown, attempt.Failed},
		"403":                       {answer(403), true, codes.Unavailable, attempt.Failed},
		"404":                       {answer(404), true, codes.Unavailable, attempt.Failed},
		"405":                       {answer(405), true, codes.Unavailable, attempt.Failed},
		"407":                       {answer(407), true, codes.Unavailable, attempt.Failed},
		"408":                       {answer(408), false, codes.Unknown, attempt.Failed},
		"413":                       {answer(413), false, codes.InvalidArgument, attempt.TooLarge},
		"415":                       {answer(415), true, codes.Unavailable, attempt.Failed},
		"414":                       {answer(414), false, codes.Unknown, attempt.Failed},
		"431":                       {answer(431), false, codes.Unknown, attempt.Failed},
		"429":                       {answer(429), true, codes.ResourceExhausted, attempt.Overloaded},
		"429 with Retry-After":      {answer(429, "Retry-After", "0"), true, codes.ResourceExhausted, attempt.Overloaded},
		"500":                       {answer(500), false, codes.Unknown, attempt.Failed},
		"501":                       {answer(501), false, codes.Unknown, attempt.Failed},
		"502":                       {answer(502), true, codes.Unavailable, attempt.Unavailable},
		"503":                       {answer(503), true, codes.Unavailable, attempt.Unavailable},
		"503 with Retry-After":      {answer(503, "Retry-After", "0"), true, codes.Unavailable, attempt.Overloaded},
		"503 with a date":           {answer(503, "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), true, codes.Unavailable, attempt.Overloaded},
		"503 with a bad date":       {answer(503, "Retry-After", "tomorrow"), true, codes.Unavailable, attempt.Overloaded},
		"504":                       {answer(504), true, codes.Unavailable, attempt.Unavailable},
		"301":                       {answer(301, "Location", "/elsewhere"), true, codes.Unavailable, attempt.Failed},
		"302":                       {answer(302, "Location", "/elsewhere"), true, codes.Unavailable, attempt.Failed},
		"303":                       {answer(303, "Location", "/elsewhere"), true, codes.Unavailable, attempt.Failed},
		"a redirect without target": {answer(302), true, codes.Unavailable, attempt.Failed},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				calls.Add(1)
				row.answer(w)
			})
			e := startTracesExporter(t, map[string]any{
				"protocol": "http/protobuf", "endpoint": url,
				"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms", "max_elapsed_time": "40ms"},
			})
			ctx, seen := observed(context.Background())
			err := e.ConsumeTraces(ctx, spans(1))

			if st, ok := status.FromError(err); row.outcome != attempt.Failed || row.told != codes.Unknown {
				require.True(t, ok, "%v", err)
				assert.Equal(t, row.told, st.Code())
			}
			assert.Equal(t, !row.retried, consumererror.IsPermanent(err), "%v", err)
			assert.Equal(t, row.retried, calls.Load() > 1)
			assert.Equal(t, row.outcome, seen.outcomes()[0])
		})
	}
}

func TestTheBatcherHearsOfRetryAfter(t *testing.T) {
	url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	e := startTracesExporter(t, map[string]any{
		"protocol": "http/protobuf", "endpoint": url, "retry_on_failure": map[string]any{"enabled": false},
	})
	ctx, seen := observed(context.Background())
	require.Error(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, 7*time.Second, seen.list[0].RetryAfter)
}

// A redirect that asks for the same request elsewhere is followed; the others would turn it into a GET without the data, whose success
// says nothing about them.
func TestARedirectIsFollowedWithTheData(t *testing.T) {
	backend := newCounting()
	var code atomic.Int32
	url := startHTTPServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			http.Redirect(w, r, "/new?password=secret", int(code.Load()))
			return
		}
		if r.URL.Path == "/circle/v1/traces" {
			http.Redirect(w, r, r.URL.Path, http.StatusPermanentRedirect)
			return
		}
		request := ptraceotlp.NewExportRequest()
		assert.NoError(t, request.UnmarshalProto(readAll(t, r)))
		_, _ = backend.export(r.Context(), request)
	}))
	e := startTracesExporter(t, map[string]any{
		"protocol": "http/protobuf", "endpoint": url, "compression": "none", "retry_on_failure": map[string]any{"enabled": false},
	})
	ctx, _ := observed(context.Background())
	for _, c := range []int32{307, 308} {
		code.Store(c)
		require.NoError(t, e.ConsumeTraces(ctx, spans(5)))
	}
	assert.Equal(t, 10, backend.total())
	for _, c := range []int32{301, 302, 303} {
		code.Store(c)
		err := e.ConsumeTraces(ctx, spans(5))
		require.ErrorContains(t, err, "and sends on to "+url+"/new")
		assert.NotContains(t, err.Error(), "secret")
	}
	assert.Equal(t, 10, backend.total())

	e = startTracesExporter(t, map[string]any{
		"protocol": "http/protobuf", "endpoint": url + "/circle", "retry_on_failure": map[string]any{"enabled": false},
	})
	require.ErrorContains(t, e.ConsumeTraces(ctx, spans(5)), "stopped after 10 redirects")
}

func TestRetryAfterIsKept(t *testing.T) {
	var mu sync.Mutex
	var times []time.Time
	url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		mu.Lock()
		defer mu.Unlock()
		if times = append(times, time.Now()); len(times) == 1 {
			answer(429, "Retry-After", "1")(w)
		}
	})
	e := startTracesExporter(t, map[string]any{
		"protocol": "http/protobuf", "endpoint": url,
		"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms"},
	})
	ctx, _ := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.GreaterOrEqual(t, times[1].Sub(times[0]), time.Second)
}

func TestTheMessageOfAnErrorReachesTheLog(t *testing.T) {
	detail, err := proto.Marshal(&spb.Status{Message: "span 3 has no name"})
	require.NoError(t, err)
	tooLong, err := proto.Marshal(&spb.Status{Message: strings.Repeat("x", maxResponseBytes)})
	require.NoError(t, err)
	for body, want := range map[string]string{
		string(detail):  "/v1/traces answered HTTP status 400: span 3 has no name",
		"<html>":        "/v1/traces answered HTTP status 400",
		string(tooLong): "/v1/traces answered HTTP status 400",
	} {
		url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(body))
		})
		e := startTracesExporter(t, map[string]any{"protocol": "http/protobuf", "endpoint": url})
		ctx, _ := observed(context.Background())
		err := e.ConsumeTraces(ctx, spans(1))
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "xxx", "what is too long is not read")
	}
}

func TestNoAnswerOverHTTP(t *testing.T) {
	stop := make(chan struct{})
	url := startHTTPBackend(t, func(http.ResponseWriter, *http.Request, []byte) { <-stop })
	defer close(stop)
	withoutRetry := map[string]any{"protocol": "http/protobuf", "endpoint": url, "timeout": "50ms", "retry_on_failure": map[string]any{"enabled": false}}

	e := startTracesExporter(t, withoutRetry)
	ctx, seen := observed(context.Background())
	require.ErrorIs(t, e.ConsumeTraces(ctx, spans(1)), context.DeadlineExceeded)
	assert.Equal(t, []attempt.Outcome{attempt.DeadlineExceeded}, seen.outcomes())

	ctx, cancel := context.WithCancel(context.Background())
	ctx, seen = observed(ctx)
	cancel()
	require.ErrorIs(t, e.ConsumeTraces(ctx, spans(1)), context.Canceled)
	assert.Equal(t, []attempt.Outcome{attempt.Canceled}, seen.outcomes())

	withoutRetry["endpoint"] = "http://" + freeAddress(t)
	e = startTracesExporter(t, withoutRetry)
	ctx, seen = observed(context.Background())
	err := e.ConsumeTraces(ctx, spans(1))
	require.Error(t, err)
	assert.False(t, consumererror.IsPermanent(err))
	assert.Equal(t, []attempt.Outcome{attempt.Unavailable}, seen.outcomes())
}

// A caller that leaves between two failures is no answer that ends the row of them.
func TestACancelledRequestIsNoAnswer(t *testing.T) {
	e := startTracesExporter(t, map[string]any{
		"protocol": "http/protobuf", "endpoint": "http://" + freeAddress(t), "retry_on_failure": map[string]any{"enabled": false},
		"pool": map[string]any{"ejection": map[string]any{"consecutive_failures": 2}},
	})
	ctx, _ := observed(context.Background())
	left, leave := context.WithCancel(ctx)
	leave()
	require.Error(t, e.ConsumeTraces(ctx, spans(1)))
	require.ErrorIs(t, e.ConsumeTraces(left, spans(1)), context.Canceled)
	assert.Zero(t, e.(tracesExporter).sender.transport.stats().Ejections)
	require.Error(t, e.ConsumeTraces(ctx, spans(1)))
	assert.EqualValues(t, 1, e.(tracesExporter).sender.transport.stats().Ejections)
}

func TestPartialSuccessOverHTTP(t *testing.T) {
	response := ptraceotlp.NewExportResponse()
	response.PartialSuccess().SetRejectedSpans(2)
	asProto, err := response.MarshalProto()
	require.NoError(t, err)
	asJSON, err := response.MarshalJSON()
	require.NoError(t, err)
	response.PartialSuccess().SetErrorMessage(strings.Repeat("x", maxResponseBytes))
	tooLong, err := response.MarshalProto()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		contentType string
		body        []byte
		rejected    int64
		responses   int64
	}{
		"protobuf":             {protobufContentType, asProto, 2, 1},
		"JSON":                 {jsonContentType, asJSON, 2, 1},
		"nothing":              {protobufContentType, nil, 0, 0},
		"no JSON":              {jsonContentType, nil, 0, 0},
		"another content type": {"text/html", asProto, 0, 0},
		// The backend has the data: an answer that cannot be read is worth a log line, not a failure.
		"broken protobuf": {protobufContentType, []byte{0x0a, 0xff}, 0, 1},
		"broken JSON":     {jsonContentType, []byte("{"), 0, 1},
		"too long":        {protobufContentType, tooLong, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				w.Header().Set("Content-Type", c.contentType)
				_, _ = w.Write(c.body)
			})
			set, tel := measuredSettings(t)
			e := newTracesExporter(t, set, newConfig(t, map[string]any{"protocol": "http/protobuf", "endpoint": url}))
			startComponent(t, e, componenttest.NewNopHost())
			ctx, _ := observed(context.Background())
			require.NoError(t, e.ConsumeTraces(ctx, spans(5)))
			assert.Equal(t, 5-c.rejected, sumOf(t, tel, "otelcol_exporter_pooledotlp_items"))
			if c.responses > 0 {
				assert.Equal(t, c.responses, sumOf(t, tel, "otelcol_exporter_pooledotlp_partial_successes"))
			}
		})
	}
}

func TestHeadersOfAnHTTPRequest(t *testing.T) {
	var got http.Header
	var path string
	url := startHTTPBackend(t, func(_ http.ResponseWriter, r *http.Request, body []byte) {
		got, path = r.Header.Clone(), r.URL.Path
		assert.EqualValues(t, r.ContentLength, len(body), "sent whole, not in chunks")
	})
	ctx, _ := observed(context.Background())
	e := startTracesExporter(t, map[string]any{"protocol": "http/protobuf", "endpoint": url + "/otlp/", "headers": map[string]any{"x-api-key": "secret"}})
	require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
	assert.Equal(t, "/otlp/v1/traces", path)
	assert.Equal(t, []string{"application/x-protobuf"}, got["Content-Type"])
	assert.Equal(t, []string{"gzip"}, got["Content-Encoding"])
	assert.Equal(t, []string{"secret"}, got["X-Api-Key"])
	assert.True(t, strings.HasPrefix(got.Get("User-Agent"), "OpenTelemetry Collector/") || got.Get("User-Agent") != "", got.Get("User-Agent"))

	e = startTracesExporter(t, map[string]any{"protocol": "http/json", "traces_endpoint": url + "/elsewhere", "headers": map[string]any{"User-Agent": "mine"}})
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, "/elsewhere", path)
	assert.Equal(t, []string{"application/json"}, got["Content-Type"])
	assert.Empty(t, got["Content-Encoding"], "too small to compress")
	assert.Equal(t, []string{"mine"}, got["User-Agent"])
}

func TestASignalWithoutEndpointIsRefused(t *testing.T) {
	cfg := newConfig(t, map[string]any{"protocol": "http/protobuf", "logs_endpoint": "http://localhost:1"})
	_, err := NewFactory().CreateTraces(context.Background(), exportertest.NewNopSettings(NewFactory().Type()), cfg)
	require.EqualError(t, err, "either `endpoint` or `traces_endpoint` must be specified")
}

func TestBrotliOverHTTP(t *testing.T) {
	var total int
	url := startHTTPBackend(t, func(_ http.ResponseWriter, r *http.Request, body []byte) {
		assert.Equal(t, "br", r.Header.Get("Content-Encoding"))
		plain, err := io.ReadAll(brotli.NewReader(strings.NewReader(string(body))))
		assert.NoError(t, err)
		request := ptraceotlp.NewExportRequest()
		assert.NoError(t, request.UnmarshalProto(plain))
		total += request.Traces().SpanCount()
	})
	e := startTracesExporter(t, map[string]any{"protocol": "http/protobuf", "endpoint": url, "compression": "brotli"})
	ctx, _ := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
	assert.Equal(t, 100, total)
}

func TestARefusedCompressionOverHTTP(t *testing.T) {
	for _, code := range []int{400, 415} {
		var compressed atomic.Int32
		url := startHTTPBackend(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
			if r.Header.Get("Content-Encoding") != "" {
				compressed.Add(1)
				w.WriteHeader(code)
			}
		})
		e := startTracesExporter(t, map[string]any{"protocol": "http/protobuf", "endpoint": url})
		ctx, _ := observed(context.Background())
		for range 3 {
			require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
		}
		assert.EqualValues(t, 1, compressed.Load())
	}
}

func TestARequestBodyReturnsItsBuffersOnce(t *testing.T) {
	freed := 0
	payload := mem.BufferSlice{mem.NewBuffer(ptr(make([]byte, 4096)), countingPool{&freed})}
	b := newBody(payload)
	payload.Free()
	got := make([]byte, 100)
	n, err := b.Read(got)
	require.NoError(t, err)
	assert.Equal(t, 100, n)
	assert.Zero(t, freed, "still being read")
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	assert.Equal(t, 1, freed)
	_, err = b.Read(got)
	require.ErrorIs(t, err, errBodyClosed)
	assert.False(t, errors.Is(err, io.EOF))
}

type countingPool struct{ puts *int }

func (p countingPool) Get(n int) *[]byte { return ptr(make([]byte, n)) }
func (p countingPool) Put(*[]byte)       { *p.puts++ }

func ptr[T any](v T) *T { return &v }
