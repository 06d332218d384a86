package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// writeCertificate writes a certificate for loopback that signs itself, and its key.
func writeCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	directory := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(directory, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
		return path
	}
	return write("server.crt", "CERTIFICATE", der), write("server.key", "PRIVATE KEY", private)
}

// startIssuer serves an OpenID Connect provider that gives a token for the audience "collectors" to whoever has the secret.
func startIssuer(t *testing.T, clientSecret string) (url string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	answer := func(w http.ResponseWriter, value map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(w).Encode(value))
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": server.URL, "jwks_uri": server.URL + "/keys", "token_endpoint": server.URL + "/token",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []map[string]any{{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
			"n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != clientSecret && r.FormValue("client_secret") != clientSecret {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		claims, err := json.Marshal(map[string]any{
			"iss": server.URL, "sub": "the exporter", "aud": "collectors", "exp": time.Now().Add(time.Hour).Unix(),
		})
		assert.NoError(t, err)
		signed := encode([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + encode(claims)
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		assert.NoError(t, err)
		answer(w, map[string]any{"access_token": signed + "." + encode(signature), "token_type": "Bearer", "expires_in": 3600})
	})
	return server.URL
}

// TestAuthenticatorsBetweenCollectors sends through two hops in one process, of which the second asks for credentials: each
// authenticator of the distribution at the exporter and at the receiver, with the right secret and with a wrong one. A wrong secret
// is no fault of the client's data, and no secret is in the log, down to debug.
func TestAuthenticatorsBetweenCollectors(t *testing.T) {
	t.Parallel()
	const right, wrong = "s3cr3t-right", "s3cr3t-wrong"
	issuer := startIssuer(t, right)
	certFile, keyFile := writeCertificate(t)
	for name, extensions := range map[string]func(secret string) (server, client string){
		"basicauth": func(secret string) (server, client string) {
			return "basicauth/server: {htpasswd: {inline: 'collector:" + right + "'}}",
				"basicauth/client: {client_auth: {username: collector, password: " + secret + "}}"
		},
		"API key": func(secret string) (server, client string) {
			return "bearertokenauth/server: {header: X-Api-Key, scheme: '', token: " + right + "}",
				"bearertokenauth/client: {header: X-Api-Key, scheme: '', token: " + secret + "}"
		},
		"OAuth2 and OIDC": func(secret string) (server, client string) {
			return "oidc/server: {providers: [{issuer_url: '" + issuer + "', audience: collectors}]}",
				"oauth2client/client: {client_id: exporter, client_secret: " + secret + ", token_url: '" + issuer + "/token'}"
		},
	} {
		for _, protocol := range []string{"grpc", "http"} {
			for _, secret := range []string{right, wrong} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, protocol, secret), func(t *testing.T) {
					t.Parallel()
					server, client := extensions(secret)
					backend, hop := freeAddress(t), freeAddress(t)
					arrived, _ := startBackend(t, backend)
					endpoint := hop
					if protocol == "http" {
						endpoint = "https://" + hop + "', protocol: 'http/protobuf"
					}
					// The hop may not listen yet when the exporter of the same process first connects.
					patience := map[string]string{right: "20s", wrong: "4s"}[secret]
					p := freePorts(t)
					id := func(extension string) string { return extension[:strings.IndexByte(extension, ':')] }
					var arguments []string
					for _, override := range []string{
						"extensions::" + server, "extensions::" + client,
						"service::extensions: [health_check, " + id(server) + ", " + id(client) + "]",
						"service::telemetry::logs::level: debug",
						"receivers::pooledotlp/hop: {protocols: {" + protocol + ": {endpoint: '" + hop + "', auth: {authenticator: " + id(server) +
							"}, tls: {cert_file: '" + certFile + "', key_file: '" + keyFile + "'}}}}",
						"exporters::pooledotlp/last: {endpoint: '" + backend + "', tls: {insecure: true}}",
						"exporters::pooledotlp: {endpoint: '" + endpoint + "', auth: {authenticator: " + id(client) +
							"}, retry_on_failure: {initial_interval: 100ms, max_interval: 500ms, max_elapsed_time: " + patience + "}, tls: {insecure: false, ca_file: '" + certFile + "'}}",
						"service::pipelines::traces/hop: {receivers: [pooledotlp/hop], processors: [adaptivebatch], exporters: [pooledotlp/last]}",
					} {
						arguments = append(arguments, "--config", "yaml:"+override)
					}
					c := startCollector(t, distribution(t), p, p.pooledReceiver("unused:1"), arguments...)

					err := newClient(t, p.grpc).send(t.Context(), 0, 777)

					if secret == right {
						require.NoError(t, err)
						requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 777))
					} else {
						assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
						assert.Zero(t, arrived.totals())
						assert.NotContains(t, err.Error(), secret)
						assert.NotContains(t, err.Error(), "connection refused", "it was the secret")
					}
					assert.NotContains(t, c.log(), secret)
					assert.NotContains(t, c.log(), base64.StdEncoding.EncodeToString([]byte("collector:"+secret)))
				})
			}
		}
	}
}
