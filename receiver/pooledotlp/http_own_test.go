package pooledotlp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configmiddleware"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/receiver"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unaryhttp"
)

func TestNetHTTPServesWhatOnlyItCan(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config, *confighttp.ServerConfig)
		reason string // "": the receiver's own server
	}{
		"default":    {change: func(*Config, *confighttp.ServerConfig) {}},
		"one signal": {change: func(cfg *Config, _ *confighttp.ServerConfig) { cfg.Decode = "verified:logs" }},
		"cors": {change: func(_ *Config, s *confighttp.ServerConfig) {
			s.CORS.GetOrInsertDefault().AllowedOrigins = []string{"*"}
		}},
		"decoded":   {func(cfg *Config, _ *confighttp.ServerConfig) { cfg.Decode = DecodeAlways }, "requests are decoded"},
		"asked for": {func(cfg *Config, _ *confighttp.ServerConfig) { cfg.HTTPServer = ServerNetHTTP }, "`http_server` is net-http"},
		"tls":       {func(_ *Config, s *confighttp.ServerConfig) { s.TLS.GetOrInsertDefault().Config = configtls.Config{} }, "`tls`"},
		"auth":      {func(_ *Config, s *confighttp.ServerConfig) { s.Auth.GetOrInsertDefault().Config = configauth.Config{} }, "`auth`"},
		"metadata":  {func(_ *Config, s *confighttp.ServerConfig) { s.IncludeMetadata = true }, "`include_metadata`"},
		"middlewares": {
			func(_ *Config, s *confighttp.ServerConfig) { s.Middlewares = make([]configmiddleware.Config, 1) }, "`middlewares`",
		},
		"headers": {
			func(_ *Config, s *confighttp.ServerConfig) {
				s.ResponseHeaders = configopaque.MapList{{Name: "A", Value: "b"}}
			}, "`response_headers`",
		},
		"no keepalive": {
			func(_ *Config, s *confighttp.ServerConfig) { s.KeepAlivesEnabled = false }, //nolint:staticcheck // as confighttp writes it
			"`keepalive`",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaultConfig(DecodeVerified)
			c.change(cfg, &cfg.Protocols.HTTP.Get().ServerConfig)
			r := create(t, cfg, nopSettings(), &sink{})
			why := r.receiver.whyNotOwnHTTP(t.Context())
			assert.Contains(t, why, c.reason)
			assert.Equal(t, c.reason == "", why == "", why)
			require.NoError(t, r.Shutdown(t.Context()))
		})
	}
}

func TestNetHTTPServesWhereRequestsAreRecorded(t *testing.T) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	for name, change := range map[string]func(*receiver.Settings){
		"metrics": func(set *receiver.Settings) { set.MeterProvider = tel.NewTelemetrySettings().MeterProvider },
		"spans":   func(set *receiver.Settings) { set.TracerProvider = tel.NewTelemetrySettings().TracerProvider },
	} {
		set := nopSettings()
		change(&set)
		r := create(t, defaultConfig(DecodeVerified), set, &sink{})
		assert.Contains(t, r.receiver.whyNotOwnHTTP(t.Context()), "telemetry", name)
		require.NoError(t, r.Shutdown(t.Context()))
	}
}

func TestHTTPTellsThePipelineItsClientsAddress(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		_, own := r.receiver.httpServer.(*unaryhttp.Server)
		assert.Equal(t, decode == DecodeVerified, own)
		s := samples(t)[0]
		answer, _ := post(t, r.http, s.path, typeProto, "", s.proto)
		require.Equal(t, 200, answer.StatusCode)
		assert.True(t, net.IPv4(127, 0, 0, 1).Equal(client.FromContext(r.sink.lastContext()).Addr.(*net.IPAddr).IP))
	})
}

func TestOnlyPathsThatMeanThemselvesAreServedWithoutNetHTTP(t *testing.T) {
	for path, literal := range map[string]bool{
		"/v1/traces": true, "/": true, "/a/": false, "//a": false, "/a/../b": false, "/{a}": false, "/a%20b": false, "/a?b": false, "/a#b": false, "/a b": false,
	} {
		assert.Equal(t, literal, isLiteral(path), path)
	}
}

// decompressor is one that notes what becomes of it.
type decompressor struct {
	io.Reader
	closed bool
}

func (d *decompressor) Close() error { d.closed = true; return nil }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("no") }

// ownHandlerFor makes a receiver's own handler for traces, which decompresses bodies that are "x" with d.
func ownHandlerFor(t *testing.T, r *otlpReceiver, d *decompressor) *ownHandler {
	t.Helper()
	endpoints, err := r.endpoints("http")
	require.NoError(t, err)
	open := openers{"x": func(io.ReadCloser) (io.ReadCloser, error) {
		if d.Reader == nil {
			panic("no")
		}
		return d, nil
	}}
	return &ownHandler{endpoint: endpoints[0], receiver: r, open: open, bodySize: 1 << 20}
}

func TestWhatBecomesOfDecompressors(t *testing.T) {
	for name, test := range map[string]struct {
		plain  io.Reader
		code   int
		closed bool
	}{
		"read":               {bytes.NewReader(emptyRequest(10)), http.StatusOK, true},
		"broken":             {iotest.ErrReader(errors.New("no")), http.StatusBadRequest, true},
		"no room":            {bytes.NewReader(emptyRequest(100 << 10)), http.StatusServiceUnavailable, true},
		"panic":              {panicking{}, http.StatusBadRequest, false},
		"panic at the start": {nil, http.StatusBadRequest, false},
		"panic after some":   {io.MultiReader(bytes.NewReader(emptyRequest(10)), panicking{}), http.StatusBadRequest, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaultConfig(DecodeVerified)
			cfg.MaxReadingBytes = 40 << 10
			r := create(t, cfg, nopSettings(), &sink{})
			other := r.receiver.reading.Reserve() // who reads alone has all the room there is
			require.True(t, other.Grow(8<<10))
			d := &decompressor{Reader: test.plain}
			answer := ownHandlerFor(t, r.receiver, d).serve(t.Context(), unaryhttp.Request{
				Body: strings.NewReader("x"), Length: 1, Encoding: "x", SetReadDeadline: func(time.Time) error { return nil },
			})
			assert.Equal(t, test.code, answer.Code, string(answer.Body))
			assert.Equal(t, test.closed, d.closed)
			other.End()
			assert.Zero(t, r.receiver.reading.Held())
			assert.Zero(t, r.receiver.buffers.Stats().InUse)
			require.NoError(t, r.Shutdown(t.Context()))
		})
	}
}

// Whatever reading a body panics with, nobody looks after it any more.
func TestAPanicEndsTheWatchOfABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := defaultConfig(DecodeVerified)
		cfg.MaxReadingBytes = 256 << 10
		r := create(t, cfg, nopSettings(), &sink{}).receiver
		defer r.buffers.Close()
		h := ownHandlerFor(t, r, nil)
		var cut atomic.Bool
		require.Panics(t, func() {
			h.serve(t.Context(), unaryhttp.Request{Body: panicking{}, Length: 16 << 10, SetReadDeadline: func(time.Time) error {
				cut.Store(true)
				return nil
			}})
		})
		other := r.reading.Reserve()
		defer other.End()
		require.True(t, other.Grow(200<<10))
		time.Sleep(bufpool.SlowReader - time.Second)
		require.False(t, other.Grow(200<<10), "others need room")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.False(t, cut.Load())
	})
}

// What a body was and what it becomes are one reader's.
func TestACompressedBodyThatIsAloneHasRoom(t *testing.T) {
	cfg := defaultConfig(DecodeVerified)
	cfg.MaxReadingBytes = 24 << 10
	r := start(t, cfg)
	body, _ := stallingZstd()
	answer, _ := post(t, r.http, "/v1/traces", typeProto, "zstd", body)
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	requireBuffersReturned(t, r)
	assert.Zero(t, r.receiver.reading.Held())
}
