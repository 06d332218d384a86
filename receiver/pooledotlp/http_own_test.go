package pooledotlp

import (
	"context"
	"net"
	"testing"

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
