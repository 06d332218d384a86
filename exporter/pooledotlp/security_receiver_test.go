package pooledotlp

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/oauth2clientauthextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/oidcauthextension"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// startIssuer serves an OpenID Connect provider that gives everybody a token for the audience "collectors".
func startIssuer(t *testing.T) (url string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	answer := func(path string, value func() any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			assert.NoError(t, json.NewEncoder(w).Encode(value()))
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	answer("/.well-known/openid-configuration", func() any {
		return map[string]any{
			"issuer": server.URL, "jwks_uri": server.URL + "/keys", "token_endpoint": server.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}
	})
	answer("/keys", func() any {
		return map[string]any{"keys": []map[string]any{{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}}
	})
	answer("/token", func() any {
		claims, err := json.Marshal(map[string]any{
			"iss": server.URL, "sub": "the exporter", "aud": "collectors", "exp": time.Now().Add(time.Hour).Unix(),
		})
		assert.NoError(t, err)
		signed := encode([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + encode(claims)
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		assert.NoError(t, err)
		return map[string]any{"access_token": signed + "." + encode(signature), "token_type": "Bearer", "expires_in": 3600}
	})
	return server.URL
}

// OAuth2 here and OIDC at a stock receiver, over TLS.
func TestAStockReceiverChecksTheTokenOfTheExporter(t *testing.T) {
	issuer := startIssuer(t)
	server := startExtension(t, oidcauthextension.NewFactory(), map[string]any{
		"providers": []any{map[string]any{"issuer_url": issuer, "audience": "collectors"}},
	})
	client := startExtension(t, oauth2clientauthextension.NewFactory(), map[string]any{
		"client_id": "exporter", "client_secret": "s3cr3t", "token_url": issuer + "/token",
	})
	a := newAuthority(t)
	a.issue(t, "server", a)
	hostOf := func(e component.Component) component.Host {
		return hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{component.MustNewID("authority"): e}}
	}
	auth := map[string]any{"authenticator": "authority"}
	protocol := map[string]any{"auth": auth, "tls": map[string]any{"cert_file": a.path("server.crt"), "key_file": a.path("server.key")}}
	endpoint, url, sink := startReceiversIn(t, hostOf(server), func(cfg *otlpreceiver.Config) {
		require.NoError(t, confmap.NewFromStringMap(map[string]any{
			"protocols": map[string]any{"grpc": protocol, "http": protocol},
		}).Unmarshal(cfg))
	})
	for i, keys := range []map[string]any{
		{"endpoint": endpoint},
		{"endpoint": "https" + url[len("http"):], "protocol": "http/protobuf"},
	} {
		keys["tls"] = map[string]any{"ca_file": a.path("ca.crt")}
		keys["retry_on_failure"] = map[string]any{"enabled": false}
		stranger := startTracesExporter(t, keys)
		ctx, _ := observed(context.Background())
		st, _ := status.FromError(stranger.ConsumeTraces(ctx, spans(7)))
		assert.Equal(t, codes.Unavailable, st.Code(), "its own credentials are missing: the client's data is not at fault")
		assert.Equal(t, 7*i, sink.traces.SpanCount())

		keys["auth"] = auth
		e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, keys))
		startComponent(t, e, hostOf(client))
		require.NoError(t, e.ConsumeTraces(ctx, spans(7)))
		assert.Equal(t, 7*(i+1), sink.traces.SpanCount())
	}
}
