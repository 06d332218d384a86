package pooledotlp

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/pdata/testdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What the servers' settings promise is configgrpc's and confighttp's to keep. These tests hold that nothing of it is lost on the way to
// our own handlers.

// configured is the default configuration changed by keys.
func configured(t *testing.T, decode DecodeMode, keys map[string]any) *Config {
	t.Helper()
	cfg := defaultConfig(decode)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"protocols": keys}).Unmarshal(cfg))
	cfg.Decode = decode
	require.NoError(t, confmap.Validate(cfg))
	return cfg
}

// middleware counts the requests that pass it, and lets none in while closed.
type middleware struct {
	component.StartFunc
	component.ShutdownFunc
	grpc, http atomic.Int64
	closed     atomic.Bool
}

func (m *middleware) GetGRPCServerOptions(context.Context) ([]grpc.ServerOption, error) {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			m.grpc.Add(1)
			if m.closed.Load() {
				return nil, status.Error(codes.ResourceExhausted, "closed")
			}
			return next(ctx, request)
		},
	)}, nil
}

func (m *middleware) GetHTTPHandler(context.Context) (func(context.Context, http.Handler) (http.Handler, error), error) {
	return func(_ context.Context, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.http.Add(1)
			if m.closed.Load() {
				http.Error(w, "closed", http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		}), nil
	}, nil
}

// extensionHost has one extension.
type extensionHost struct {
	component.Host
	id        component.ID
	extension component.Component
}

func (h extensionHost) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{h.id: h.extension}
}

func TestMiddlewaresSeeEveryRequestAndMayRefuseIt(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		m := &middleware{}
		list := map[string]any{"middlewares": []any{map[string]any{"id": "limit"}}}
		cfg := configured(t, decode, map[string]any{"grpc": list, "http": list})
		r := startWith(t, cfg, nopSettings(), extensionHost{nopHost(), component.MustNewID("limit"), m})
		cc := dial(t, r.grpc)
		for _, s := range samples(t) {
			r.sink.reset()
			m.closed.Store(false)
			require.NoError(t, s.export(within(t), cc))
			r.requireReceived(t, s)
			r.sink.reset()
			answer, _ := post(t, r.http, s.path, typeProto, "gzip", compress(t, "gzip", s.proto))
			require.Equal(t, 200, answer.StatusCode)
			r.requireReceived(t, s)

			m.closed.Store(true)
			assert.Equal(t, codes.ResourceExhausted, status.Code(s.export(within(t), cc)))
			answer, _ = post(t, r.http, s.path, typeProto, "", s.proto)
			assert.Equal(t, 429, answer.StatusCode)
			assert.Len(t, r.sink.received(s.signal), 1)
		}
		assert.EqualValues(t, 8, m.grpc.Load())
		assert.EqualValues(t, 8, m.http.Load())
	})
}

func TestAMiddlewareThatIsMissingFailsTheStart(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		list := map[string]any{"middlewares": []any{map[string]any{"id": "limit"}}}
		r := create(t, configured(t, DecodeVerified, map[string]any{protocol: list}), nopSettings(), &sink{})
		require.ErrorContains(t, r.Start(t.Context(), nopHost()), "limit")
		require.NoError(t, r.Shutdown(t.Context()))
	}
}

func TestHTTPSendsConfiguredHeaders(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, configured(t, decode, map[string]any{"http": map[string]any{
			"response_headers": map[string]any{"X-Gateway": "a"}, "keepalive": map[string]any{"enabled": false},
		}}))
		s := samples(t)[0]
		for _, body := range [][]byte{s.proto, {0x0a}} {
			answer, _ := post(t, r.http, s.path, typeProto, "", body)
			assert.Equal(t, "a", answer.Header.Get("X-Gateway"))
			assert.True(t, answer.Close, "no keep-alive")
		}
	})
}

func TestHTTPPassesRequestParametersToTheAuthenticator(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		id := component.MustNewID("key")
		cfg := configured(t, decode, map[string]any{"http": map[string]any{
			"auth": map[string]any{"authenticator": "key", "request_params": []any{"key"}},
		}})
		r := startWith(t, cfg, nopSettings(), authHost{Host: nopHost(), id: id})
		s := samples(t)[0]
		for query, code := range map[string]int{"?key=secret": 200, "?key=other": 401, "": 401} {
			answer, _ := post(t, r.http, s.path+query, typeProto, "", s.proto)
			assert.Equal(t, code, answer.StatusCode, query)
		}
	})
}

func TestHTTPOverAUnixSocket(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		path := t.TempDir() + "/otlp.sock"
		r := start(t, configured(t, decode, map[string]any{"http": map[string]any{"endpoint": path, "transport": "unix"}}))
		c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
		defer c.CloseIdleConnections()
		for _, s := range samples(t) {
			answer, err := c.Post("http://otlp"+s.path, typeProto, bytesReader(s.proto))
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, 200, answer.StatusCode)
			r.requireReceived(t, s)
		}
	})
}

// next reads frames until one of a kind comes.
func (s stream) next(t *testing.T, kind byte) []byte {
	t.Helper()
	for {
		var head [9]byte
		_, err := io.ReadFull(s, head[:])
		require.NoError(t, err)
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		_, err = io.ReadFull(s, payload)
		require.NoError(t, err)
		if head[3] == kind && head[4] == 0 {
			return payload
		}
	}
}

const (
	framePing, frameGoAway = 6, 7

	maxConcurrentStreams, noError, enhanceYourCalm = 3, 0, 11
)

func TestGRPCBoundsTheStreamsOfAConnection(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, configured(t, decode, map[string]any{"grpc": map[string]any{"max_concurrent_streams": 7}}))
		s := begin(t, r.grpc, tracesNames)
		settings, bound := s.next(t, frameSettings), uint32(0)
		for ; len(settings) >= 6; settings = settings[6:] {
			if binary.BigEndian.Uint16(settings) == maxConcurrentStreams {
				bound = binary.BigEndian.Uint32(settings[2:])
			}
		}
		assert.EqualValues(t, 7, bound)
		require.NoError(t, s.Close())
	})
}

func TestGRPCSendsOldAndIdleConnectionsAway(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, key := range []string{"max_connection_age", "max_connection_idle"} {
			r := start(t, configured(t, decode, map[string]any{"grpc": map[string]any{
				"keepalive": map[string]any{"server_parameters": map[string]any{key: "50ms", "max_connection_age_grace": "50ms"}},
			}}))
			s := begin(t, r.grpc, tracesNames)
			s.frame(t, frameReset, 0, 1, []byte{0, 0, 0, 8})
			goAway := s.next(t, frameGoAway)
			assert.EqualValues(t, noError, binary.BigEndian.Uint32(goAway[4:]), key)
			require.NoError(t, s.Close())
		}
	})
}

func TestGRPCEnforcesTheTimeBetweenPings(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for policy, sentAway := range map[string]bool{"5m": true, "1ns": false} {
			r := start(t, configured(t, decode, map[string]any{"grpc": map[string]any{
				"keepalive": map[string]any{"enforcement_policy": map[string]any{"min_time": policy, "permit_without_stream": true}},
			}}))
			s := begin(t, r.grpc, tracesNames)
			s.frame(t, frameReset, 0, 1, []byte{0, 0, 0, 8})
			for range 10 {
				s.frame(t, framePing, 0, 0, make([]byte, 8))
			}
			if sentAway {
				assert.EqualValues(t, enhanceYourCalm, binary.BigEndian.Uint32(s.next(t, frameGoAway)[4:]))
			} else {
				require.NoError(t, samples(t)[0].export(within(t), dial(t, r.grpc)))
				require.NoError(t, s.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
				rest, _ := io.ReadAll(s)
				assert.NotContains(t, string(rest), "too_many_pings")
			}
			require.NoError(t, s.Close())
		}
	})
}

func TestGRPCTakesMessagesAsLargeAsConfigured(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		td := testdata.GenerateTraces(30000)
		request := ptraceotlp.NewExportRequestFromTraces(td)
		r := start(t, defaultConfig(decode))
		r.drops = true
		_, err := ptraceotlp.NewGRPCClient(dial(t, r.grpc)).Export(within(t), request)
		require.Equal(t, codes.ResourceExhausted, status.Code(err), "more than the 4 MiB that are the default")

		// No more than 8 MiB: what zstd may refer back to over gRPC is the largest size in the process, for the tests that bound it too.
		r = start(t, configured(t, decode, map[string]any{"grpc": map[string]any{"max_recv_msg_size_mib": 8}}))
		for _, algorithm := range []string{"identity", "zstd", "gzip"} {
			r.sink.reset()
			_, err = ptraceotlp.NewGRPCClient(dial(t, r.grpc)).Export(within(t), request, grpc.UseCompressor(algorithm))
			require.NoError(t, err)
			require.Len(t, r.sink.AllTraces(), 1)
			require.Equal(t, td, r.sink.AllTraces()[0])
		}
	})
}

func TestServersTraceTheirRequests(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		tel, set := observed(t)
		set.TracerProvider = tel.NewTelemetrySettings().TracerProvider
		r := startWith(t, defaultConfig(decode), set, nopHost())
		s := samples(t)[0]
		require.NoError(t, s.export(within(t), dial(t, r.grpc)))
		post(t, r.http, s.path, typeProto, "", s.proto)
		const received = "receiver/pooledotlp/TraceDataReceived"
		parents := map[string]bool{}
		require.Eventually(t, func() bool { // a server's span ends after the answer was sent
			byID := map[string]string{}
			for _, span := range tel.SpanRecorder.Ended() {
				byID[span.SpanContext().SpanID().String()] = span.Name()
			}
			for _, span := range tel.SpanRecorder.Ended() {
				if span.Name() == received {
					parents[byID[span.Parent().SpanID().String()]] = true
				}
			}
			return parents["opentelemetry.proto.collector.trace.v1.TraceService/Export"] && (parents["POST /v1/traces"] || parents["POST"])
		}, 10*time.Second, time.Millisecond, "%v", parents)
	})
}

func TestBothProtocolsTellNothingOfTheClientUnlessAsked(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		s := samples(t)[0]
		require.NoError(t, s.export(metadata.AppendToOutgoingContext(within(t), "tenant", "a"), dial(t, r.grpc)))
		assert.Empty(t, clientMetadata(r, "tenant"))
		do(t, "POST", r.http, s.path, http.Header{"Content-Type": {typeProto}, "Tenant": {"a"}}, s.proto)
		assert.Empty(t, clientMetadata(r, "tenant"))
	})
}
