package pooledotlp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/tcpproxy"
)

// startThroughProxy serves a handler over TLS, with HTTP/2 or without, behind a proxy; keys are what an exporter needs to reach it.
func startThroughProxy(t *testing.T, http2 bool, handle http.HandlerFunc) (proxy *tcpproxy.Proxy, keys map[string]any) {
	t.Helper()
	a := newAuthority(t)
	server := httptest.NewUnstartedServer(handle)
	server.TLS = a.serverTLS(t)
	server.TLS.ClientAuth = 0
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	proxy, err := tcpproxy.Start(strings.TrimPrefix(server.URL, "https://"))
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	return proxy, map[string]any{
		"protocol": "http/protobuf", "endpoint": "https://" + proxy.Address(), "tls": map[string]any{"ca_file": a.path("ca.crt")},
		"retry_on_failure": map[string]any{"initial_interval": "5ms", "max_interval": "20ms"},
	}
}

// Over HTTP/2 the connection becomes a black hole with requests on it. They move within two health intervals, and not at the
// timeout of 30 s.
func TestABlackHoleOverHTTP2(t *testing.T) {
	const interval = time.Second
	var arrived atomic.Int32
	release := make(chan struct{})
	proxy, keys := startThroughProxy(t, true, func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, 2, r.ProtoMajor)
		_ = readAll(t, r)
		if arrived.Add(1) > 10 {
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	keys["pool"] = map[string]any{"health_check": map[string]any{"interval": interval.String(), "timeout": "500ms"}}
	e := startTracesExporter(t, keys)
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			ctx, _ := observed(context.Background())
			assert.NoError(t, e.ConsumeTraces(ctx, spans(1)))
		})
	}
	require.Eventually(t, func() bool { return arrived.Load() == 10 }, 20*time.Second, time.Millisecond)
	start := time.Now()
	for _, c := range proxy.Conns() {
		c.Swallow()
	}
	close(release)
	callers.Wait()
	assert.Less(t, time.Since(start), 2*interval+time.Second, "two intervals, and room for a busy machine")
}

// With HTTP/1.1 a connection carries one request, and only this one waits, until its timeout.
func TestABlackHoleOverHTTP1(t *testing.T) {
	first := make(chan struct{})
	var arrived atomic.Int32
	proxy, keys := startThroughProxy(t, false, func(_ http.ResponseWriter, r *http.Request) {
		_ = readAll(t, r)
		if arrived.Add(1) == 1 {
			close(first)
			<-r.Context().Done()
		}
	})
	keys["timeout"] = "2s"
	e := startTracesExporter(t, keys)
	ctx, _ := observed(context.Background())
	start := time.Now()
	var caller sync.WaitGroup
	caller.Go(func() { assert.NoError(t, e.ConsumeTraces(ctx, spans(1))) })
	<-first
	proxy.Conns()[0].Swallow()
	for range 100 {
		require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	}
	assert.Less(t, time.Since(start), 2*time.Second, "the others are not held up")
	caller.Wait()
	assert.GreaterOrEqual(t, time.Since(start), 2*time.Second)
	assert.EqualValues(t, 102, arrived.Load())
}

func TestPingsDoNotSwitchHTTP2On(t *testing.T) {
	var major atomic.Int32
	_, keys := startThroughProxy(t, true, func(_ http.ResponseWriter, r *http.Request) { major.Store(int32(r.ProtoMajor)) })
	keys["force_attempt_http2"] = false
	ctx, _ := observed(context.Background())
	require.NoError(t, startTracesExporter(t, keys).ConsumeTraces(ctx, spans(1)))
	assert.EqualValues(t, 1, major.Load())
}

// A client is replaced for its age while it has a request under way, and idle connections have no time-out.
func TestTheConnectionsOfAReplacedClientEnd(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			arrived, goOn := make(chan struct{}), make(chan struct{})
			release := sync.OnceFunc(func() { close(goOn) })
			defer release()
			proxy, keys := startThroughProxy(t, http2, func(_ http.ResponseWriter, r *http.Request) {
				_ = readAll(t, r)
				if calls.Add(1) == 1 {
					close(arrived)
					<-goOn
				}
			})
			keys["keepalive"] = map[string]any{"idle_conn_timeout": "0s"}
			keys["pool"] = map[string]any{"max_connection_age": "1ns"}
			e := startTracesExporter(t, keys)
			ctx, _ := observed(context.Background())
			var caller sync.WaitGroup
			caller.Go(func() { assert.NoError(t, e.ConsumeTraces(ctx, spans(1))) })
			<-arrived
			for range 2 {
				require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
			}
			idle := proxy.Conns()[1]
			requireClosed(t, idle)
			busy := proxy.Conns()[0]
			select {
			case <-busy.Closed():
				t.Fatal("the connection was closed under a request")
			default:
			}
			release()
			caller.Wait()
			requireClosed(t, busy)
		})
	}
}

func requireClosed(t *testing.T, c *tcpproxy.Conn) {
	t.Helper()
	select {
	case <-c.Closed():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection is still open")
	}
}
