package pooledotlp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// authority issues certificates for loopback into a directory.
type authority struct {
	directory string
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{directory: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.directory, name) }

// issue writes name.crt and name.key; without an issuer the certificate signs itself.
func (a *authority) issue(t *testing.T, name string, issuer *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, BasicConstraintsValid: true, IsCA: issuer == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	write := func(file, kind string, b []byte) {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
	}
	write(a.path(name+".crt"), "CERTIFICATE", der)
	write(a.path(name+".key"), "EC PRIVATE KEY", keyDER)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}

// serverTLS asks clients for a certificate of the authority.
func (a *authority) serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	a.issue(t, "server", a)
	cert, err := tls.LoadX509KeyPair(a.path("server.crt"), a.path("server.key"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

// use makes a certificate that was issued the one in client.crt and client.key.
func (a *authority) use(t *testing.T, name string) {
	t.Helper()
	for _, kind := range []string{".crt", ".key"} {
		b, err := os.ReadFile(a.path(name + kind))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(a.path("client"+kind), b, 0o600))
	}
}

func TestMutualTLSAndReloadOfTheClientsCertificate(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "first", a)
	a.use(t, "first")
	var mu sync.Mutex
	var seen string
	endpoint := startBackend(t, func(ctx context.Context, _ ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		p, _ := peer.FromContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		seen = p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].Subject.CommonName
		return ptraceotlp.NewExportResponse(), nil
	}, grpc.Creds(credentials.NewTLS(a.serverTLS(t))))
	clientTLS := map[string]any{
		"ca_file": a.path("ca.crt"), "cert_file": a.path("client.crt"), "key_file": a.path("client.key"), "reload_interval": "1ms",
	}
	e := startTracesExporter(t, map[string]any{
		"endpoint": endpoint, "tls": clientTLS,
		// Connections are replaced often here, so that the new certificate comes into use.
		"pool": map[string]any{"max_connection_age": "20ms"},
	})
	ctx, _ := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, "first", seen)

	a.issue(t, "second", a)
	a.use(t, "second")
	require.Eventually(t, func() bool {
		assert.NoError(t, e.ConsumeTraces(ctx, spans(1)))
		mu.Lock()
		defer mu.Unlock()
		return seen == "second"
	}, 10*time.Second, 5*time.Millisecond)

	// Without a certificate, or with a server that is not the authority's, nothing is sent.
	for name, c := range map[string]map[string]any{
		"no client certificate": {"ca_file": a.path("ca.crt")},
		"a strange server":      {"cert_file": a.path("client.crt"), "key_file": a.path("client.key")},
	} {
		stranger := startTracesExporter(t, map[string]any{"endpoint": endpoint, "tls": c, "retry_on_failure": map[string]any{"enabled": false}})
		require.Error(t, stranger.ConsumeTraces(ctx, spans(1)), name)
	}
}

func TestMutualTLSAndReloadOverHTTP(t *testing.T) {
	a := newAuthority(t)
	a.issue(t, "first", a)
	a.use(t, "first")
	var proto int
	var seen atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		proto = r.ProtoMajor
		seen.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = a.serverTLS(t)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	e := startTracesExporter(t, map[string]any{
		"protocol": "http/protobuf", "endpoint": server.URL,
		"tls": map[string]any{
			"ca_file": a.path("ca.crt"), "cert_file": a.path("client.crt"), "key_file": a.path("client.key"), "reload_interval": "1ms",
		},
		// As above.
		"pool": map[string]any{"max_connection_age": "20ms"},
	})
	ctx, _ := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.Equal(t, 2, proto)
	assert.Equal(t, "first", seen.Load())

	a.issue(t, "second", a)
	a.use(t, "second")
	require.Eventually(t, func() bool {
		assert.NoError(t, e.ConsumeTraces(ctx, spans(1)))
		return seen.Load() == "second"
	}, 10*time.Second, 5*time.Millisecond)
}

func startExtension(t *testing.T, factory extension.Factory, keys map[string]any) component.Component {
	t.Helper()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(cfg))
	e, err := factory.Create(context.Background(), extensiontest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	startComponent(t, e, componenttest.NewNopHost())
	return e
}

// The authenticators of the distribution over both transports, and a token that the backend refuses: the client's data is not
// at fault, and the secret is in no log line and no error.
func TestAuthenticators(t *testing.T) {
	const secret = "s3cr3t-t0k3n"
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"` + secret + `","token_type":"Bearer","expires_in":3600}`))
	}))
	defer tokens.Close()
	a := newAuthority(t)
	refuse := false
	serverTLS := a.serverTLS(t)
	serverTLS.ClientAuth = tls.NoClientCert
	grpcEndpoint := startBackend(t, func(ctx context.Context, _ ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if refuse || len(md["authorization"]) != 1 || md["authorization"][0] != "Bearer "+secret {
			return ptraceotlp.NewExportResponse(), status.Error(codes.Unauthenticated, "token expired")
		}
		return ptraceotlp.NewExportResponse(), nil
	}, grpc.Creds(credentials.NewTLS(serverTLS)))
	url := startHTTPBackend(t, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		if refuse || r.Header.Get("Authorization") != "Bearer "+secret {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})

	for name, ext := range map[string]component.Component{
		"bearertokenauth": startExtension(t, bearertokenauthextension.NewFactory(), map[string]any{"token": secret}),
		"oauth2client": startExtension(t, oauth2clientauthextension.NewFactory(), map[string]any{
			"client_id": "collector", "client_secret": "another secret", "token_url": tokens.URL,
		}),
	} {
		host := hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{component.MustNewID(name): ext}}
		for _, keys := range []map[string]any{
			{"endpoint": grpcEndpoint, "tls": map[string]any{"ca_file": a.path("ca.crt")}},
			{"endpoint": url, "protocol": "http/protobuf"},
		} {
			refuse = false
			keys["auth"] = map[string]any{"authenticator": name}
			keys["retry_on_failure"] = map[string]any{"enabled": false}
			core, logs := observer.New(zap.DebugLevel)
			set := exportertest.NewNopSettings(NewFactory().Type())
			set.Logger = zap.New(core)
			e := newTracesExporter(t, set, newConfig(t, keys))
			startComponent(t, e, host)
			ctx, _ := observed(context.Background())
			require.NoError(t, e.ConsumeTraces(ctx, spans(1)), name)

			refuse = true
			err := e.ConsumeTraces(ctx, spans(1))
			st, _ := status.FromError(err)
			assert.Equal(t, codes.Unavailable, st.Code())
			assert.NotContains(t, err.Error(), secret)
			for _, line := range logs.All() {
				assert.NotContains(t, line.Message, secret)
				for _, field := range line.ContextMap() {
					assert.NotContains(t, fmt.Sprint(field), secret)
				}
			}
		}
	}
}
