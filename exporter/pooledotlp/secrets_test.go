package pooledotlp

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/bearertokenauthextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/oauth2clientauthextension"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const secret = "hunter2-s3cr3t"

// said is all that a case writes for people: log lines down to debug, errors, and the configuration as it is shown.
type said struct {
	strings.Builder
	logger *zap.Logger
}

func newSaid() *said {
	s := &said{}
	s.logger = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewDevelopmentEncoderConfig()), zapcore.Lock(zapcore.AddSync(s)), zap.DebugLevel))
	return s
}

func (s *said) add(v any) { s.WriteString(fmt.Sprintf("%+v\n", v)) }

// TestSecretsAreNowhereToBeRead exports in vain with secrets of every kind, to a backend that refuses, to one that is not there, and
// without a token because the issuer refuses.
func TestSecretsAreNowhereToBeRead(t *testing.T) {
	asBasic := base64.StdEncoding.EncodeToString([]byte("collector:" + secret))
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"` + secret + `","token_type":"Bearer","expires_in":3600}`))
	}))
	defer issuer.Close()
	a := newAuthority(t)
	a.issue(t, "client", a)
	key, err := os.ReadFile(a.path("client.key"))
	require.NoError(t, err)
	keyLine := strings.Split(string(key), "\n")[1]

	refusing := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		return ptraceotlp.NewExportResponse(), status.Error(codes.Unauthenticated, "go away")
	})
	url := startHTTPBackend(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(http.StatusUnauthorized) })
	nobody := freeAddress(t)
	away := startHTTPBackend(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, "http://"+nobody+"/?"+r.URL.RawQuery, http.StatusPermanentRedirect)
	})
	oauth2 := func(path string) map[string]any {
		return map[string]any{"client_id": "collector", "client_secret": secret, "token_url": issuer.URL + path}
	}
	insecure, http := map[string]any{"insecure": true}, "http/protobuf"
	certificate, err := os.ReadFile(a.path("client.crt"))
	require.NoError(t, err)
	withKey := map[string]any{"ca_file": a.path("ca.crt"), "cert_pem": string(certificate), "key_pem": string(key)}
	for name, c := range map[string]struct {
		keys   map[string]any
		auth   extension.Factory
		config map[string]any
	}{
		"header, gRPC":             {keys: map[string]any{"endpoint": refusing, "tls": insecure, "headers": map[string]any{"x-api-key": secret}}},
		"header, HTTP":             {keys: map[string]any{"endpoint": url, "protocol": http, "headers": map[string]any{"x-api-key": secret}}},
		"header, nobody":           {keys: map[string]any{"endpoint": nobody, "tls": insecure, "headers": map[string]any{"authorization": "Basic " + asBasic}}},
		"header, nobody, HTTP":     {keys: map[string]any{"endpoint": "http://" + nobody, "protocol": http, "headers": map[string]any{"authorization": "Basic " + asBasic}}},
		"password in the URL":      {keys: map[string]any{"endpoint": strings.Replace(url, "://", "://collector:"+secret+"@", 1), "protocol": http}},
		"password, nobody":         {keys: map[string]any{"endpoint": "http://collector:" + secret + "@" + nobody, "protocol": http}},
		"password in a bad URL":    {keys: map[string]any{"endpoint": "http://collector:" + secret + "@bad host", "protocol": http}},
		"query of the URL":         {keys: map[string]any{"traces_endpoint": url + "/v1/traces?api-key=" + secret, "protocol": http}},
		"query, nobody":            {keys: map[string]any{"traces_endpoint": "http://" + nobody + "/v1/traces?api-key=" + secret, "protocol": http}},
		"query, redirected away":   {keys: map[string]any{"traces_endpoint": away + "/v1/traces?api-key=" + secret, "protocol": http}},
		"bearer token":             {keys: map[string]any{"endpoint": url, "protocol": http}, auth: bearertokenauthextension.NewFactory(), config: map[string]any{"token": secret}},
		"bearer token, not secure": {keys: map[string]any{"endpoint": refusing, "tls": insecure}, auth: bearertokenauthextension.NewFactory(), config: map[string]any{"token": secret}},
		"OAuth2":                   {keys: map[string]any{"endpoint": url, "protocol": http}, auth: oauth2clientauthextension.NewFactory(), config: oauth2("/token")},
		"OAuth2, issuer refuses":   {keys: map[string]any{"endpoint": url, "protocol": http}, auth: oauth2clientauthextension.NewFactory(), config: oauth2("/refuse")},
		"OAuth2 over gRPC":         {keys: map[string]any{"endpoint": nobody, "tls": withKey}, auth: oauth2clientauthextension.NewFactory(), config: oauth2("/refuse")},
		"TLS key":                  {keys: map[string]any{"endpoint": refusing, "tls": withKey}},
		"not a TLS key":            {keys: map[string]any{"endpoint": refusing, "tls": map[string]any{"cert_pem": secret, "key_pem": secret}}},
	} {
		t.Run(name, func(t *testing.T) {
			all := newSaid()
			host := hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{}}
			if c.auth != nil {
				cfg := c.auth.CreateDefaultConfig()
				require.NoError(t, confmap.NewFromStringMap(c.config).Unmarshal(cfg))
				set := extensiontest.NewNopSettings(c.auth.Type())
				set.Logger = all.logger
				ext, err := c.auth.Create(context.Background(), set, cfg)
				require.NoError(t, err)
				startComponent(t, ext, host)
				id := component.NewID(c.auth.Type())
				host.extensions[id] = ext
				c.keys["auth"] = map[string]any{"authenticator": id.String()}
			}
			c.keys["retry_on_failure"] = map[string]any{"initial_interval": "1ms", "max_interval": "1ms", "max_elapsed_time": "20ms"}
			all.add(failingExports(t, all.logger, host, c.keys))
			require.NotEmpty(t, all.String())
			for _, s := range []string{secret, asBasic, keyLine} {
				assert.NotContains(t, all.String(), s)
			}
		})
	}
}

// failingExports exports directly and through the queue, and returns all errors and the configuration as it is shown.
func failingExports(t *testing.T, logger *zap.Logger, host component.Host, keys map[string]any) (shown []any) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(keys).Unmarshal(cfg); err != nil {
		return append(shown, err)
	}
	if err := confmap.Validate(cfg); err != nil {
		return append(shown, err)
	}
	asMap := confmap.New()
	require.NoError(t, asMap.Marshal(cfg))
	for _, key := range []string{"endpoint", "traces_endpoint"} {
		asMap.Delete(key) // is shown as it is, here as in the stock exporter
	}
	shown = append(shown, asMap.ToStringMap())
	set := exportertest.NewNopSettings(NewFactory().Type())
	set.Logger = logger
	e, err := NewFactory().CreateTraces(context.Background(), set, cfg)
	if err != nil {
		return append(shown, err)
	}
	reporting := newStatusHost()
	reporting.Host = host
	if err := e.Start(context.Background(), reporting); err != nil {
		return append(shown, err, e.Shutdown(context.Background()))
	}
	b := e.(tracesExporter).sender.backend
	b.failed(status.Error(codes.Unavailable, "long ago"), b.failingSince)
	ctx, _ := observed(context.Background())
	for range 2 {
		err := e.ConsumeTraces(ctx, spans(100))
		require.Error(t, err)
		shown = append(shown, err, e.ConsumeTraces(context.Background(), spans(100)))
	}
	shown = append(shown, e.Shutdown(context.Background()))
	for _, event := range reporting.events {
		shown = append(shown, event.Err())
	}
	return shown
}
