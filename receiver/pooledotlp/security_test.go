package pooledotlp

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
)

func TestInvalidTLSSettingsFailTheStart(t *testing.T) {
	half := configoptional.Some(configtls.ServerConfig{Config: configtls.Config{CertFile: "only-a-certificate"}})
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, protocol := range []string{"grpc", "http"} {
			t.Run(protocol, func(t *testing.T) {
				cfg := defaultConfig(decode)
				if protocol == "grpc" {
					cfg.Protocols.GRPC.Get().TLS = half
				} else {
					cfg.Protocols.HTTP.Get().ServerConfig.TLS = half
				}
				r := create(t, cfg, nopSettings(), &sink{})
				require.EqualError(t, r.Start(context.Background(), nopHost()), "failed to load TLS config: "+
					"failed to load TLS cert and key: for auth via TLS, provide both certificate and key, or neither")
				require.NoError(t, r.Shutdown(context.Background()))
			})
		}
	})
}

func TestMutualTLSAdmitsOnlyClientsWithACertificate(t *testing.T) {
	ca := newAuthority(t)
	server := configoptional.Some(configtls.ServerConfig{
		Config:       configtls.Config{CertFile: ca.serverCert, KeyFile: ca.serverKey},
		ClientCAFile: ca.caFile,
	})
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().TLS = server
		cfg.Protocols.HTTP.Get().ServerConfig.TLS = server
		r := start(t, cfg)
		s := samples(t)[0]
		for _, known := range []bool{true, false} {
			client := &tls.Config{RootCAs: ca.pool, ServerName: "localhost"}
			if known {
				client.Certificates = []tls.Certificate{ca.client}
			}
			cc, err := grpc.NewClient(r.grpc, grpc.WithTransportCredentials(credentials.NewTLS(client)))
			require.NoError(t, err)
			err = s.export(within(t), cc)
			require.NoError(t, cc.Close())
			assert.Equal(t, known, err == nil, err)

			c := &http.Client{Transport: &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}}
			answer, err := c.Post("https://"+r.http+s.path, typeProto, bytesReader(s.proto))
			if known {
				require.NoError(t, err)
				assert.Equal(t, 200, answer.StatusCode)
				assert.Equal(t, 2, answer.ProtoMajor)
				require.NoError(t, answer.Body.Close())
			} else {
				require.Error(t, err)
			}
			c.CloseIdleConnections()
		}
		assert.Len(t, r.sink.AllTraces(), 2)
	})
}

// A server certificate and an authority of the clients that are exchanged on disk come into use without a restart, on connections
// made from then on.
func TestCertificatesAreReloaded(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		first, second := newAuthority(t), newAuthority(t)
		server := configoptional.Some(configtls.ServerConfig{
			Config:       configtls.Config{CertFile: first.serverCert, KeyFile: first.serverKey, ReloadInterval: time.Millisecond},
			ClientCAFile: first.caFile, ReloadClientCAFile: true,
		})
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().TLS = server
		cfg.Protocols.HTTP.Get().ServerConfig.TLS = server
		r := start(t, cfg)
		s := samples(t)[0]
		send := func(ca authority) (overGRPC, overHTTP error) {
			client := &tls.Config{RootCAs: ca.pool, ServerName: "localhost", Certificates: []tls.Certificate{ca.client}}
			cc, err := grpc.NewClient(r.grpc, grpc.WithTransportCredentials(credentials.NewTLS(client)))
			require.NoError(t, err)
			defer cc.Close()
			overGRPC = s.export(within(t), cc)
			c := &http.Client{Transport: &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}}
			defer c.CloseIdleConnections()
			answer, overHTTP := c.Post("https://"+r.http+s.path, typeProto, bytesReader(s.proto))
			if overHTTP == nil {
				require.NoError(t, answer.Body.Close())
				assert.Equal(t, 200, answer.StatusCode)
			}
			return overGRPC, overHTTP
		}
		overGRPC, overHTTP := send(first)
		require.NoError(t, errors.Join(overGRPC, overHTTP))
		overGRPC, overHTTP = send(second)
		require.Error(t, overGRPC)
		require.Error(t, overHTTP)

		for from, to := range map[string]string{
			second.caFile: first.caFile, second.serverCert: first.serverCert, second.serverKey: first.serverKey,
		} {
			b, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(to, b, 0o600))
		}
		// The authority's file is looked at once a second.
		require.Eventually(t, func() bool {
			overGRPC, overHTTP = send(second)
			return overGRPC == nil && overHTTP == nil
		}, 10*time.Second, 50*time.Millisecond)
		overGRPC, overHTTP = send(first)
		require.Error(t, overGRPC)
		require.Error(t, overHTTP)
	})
}

// keyAuth lets in whoever sends the key.
type keyAuth struct {
	component.StartFunc
	component.ShutdownFunc
}

var _ extensionauth.Server = keyAuth{}

type subjectKey struct{}

func (keyAuth) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	for _, name := range []string{"key", "Key"} {
		if len(sources[name]) == 1 && sources[name][0] == "secret" {
			return context.WithValue(ctx, subjectKey{}, "alice"), nil
		}
	}
	return ctx, errors.New("wrong key")
}

type authHost struct {
	component.Host
	id component.ID
}

func (h authHost) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{h.id: keyAuth{}}
}

func TestAnAuthenticatorDecidesBeforeTheRequestIsRead(t *testing.T) {
	id := component.MustNewID("key")
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().Auth = configoptional.Some(configauth.Config{AuthenticatorID: id})
		cfg.Protocols.HTTP.Get().ServerConfig.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
		r := startWith(t, cfg, nopSettings(), authHost{Host: nopHost(), id: id})
		s := samples(t)[0]
		cc := dial(t, r.grpc)

		assert.Equal(t, codes.Unauthenticated, status.Code(s.export(within(t), cc)))
		_, err := sendRaw(t, cc, tracesNames, []byte{0xff})
		assert.Equal(t, codes.Unauthenticated, status.Code(err), "malformed, but nobody looked")
		answer, body := post(t, r.http, s.path, typeProto, "", s.proto)
		assert.Equal(t, 401, answer.StatusCode)
		requireStatus(t, typeProto, status.New(codes.Unauthenticated, "wrong key"), body)
		assert.Empty(t, r.sink.AllTraces())

		require.NoError(t, s.export(metadata.AppendToOutgoingContext(within(t), "key", "secret"), cc))
		assert.Equal(t, "alice", r.sink.lastContext().Value(subjectKey{}))
		answer, _ = do(t, "POST", r.http, s.path, http.Header{"Content-Type": {typeProto}, "Key": {"secret"}}, s.proto)
		assert.Equal(t, 200, answer.StatusCode)
		assert.Equal(t, decode != DecodeAlways, bytepath.FromContext(r.sink.lastContext()) != nil)
	})
}
