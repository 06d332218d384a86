package connpool

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/tcpproxy"
)

// The health service is the simplest there is; here it also stands for the service that is called. Its Watch is not used.

// slowHealth answers after a delay, and counts.
type slowHealth struct {
	healthpb.UnimplementedHealthServer
	delay time.Duration
	calls atomic.Int64
}

func (s *slowHealth) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s.calls.Add(1)
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

// startServer serves on loopback and returns its address.
func startServer(t testing.TB, h healthpb.HealthServer, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(options...)
	healthpb.RegisterHealthServer(server, h)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return l.Addr().String()
}

func dial(t testing.TB, target string, options ...grpc.DialOption) healthpb.HealthClient {
	t.Helper()
	cc, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return healthpb.NewHealthClient(cc)
}

func TestARealClientSpreadsItsCallsOverConnectionsToEveryAddress(t *testing.T) {
	a, b := &slowHealth{delay: 20 * time.Millisecond}, &slowHealth{delay: 20 * time.Millisecond}
	// As DNS would: one name, two addresses.
	names := manual.NewBuilderWithScheme("test")
	names.InitialState(resolver.State{Endpoints: []resolver.Endpoint{
		{Addresses: []resolver.Address{{Addr: startServer(t, a)}}}, {Addresses: []resolver.Address{{Addr: startServer(t, b)}}},
	}})
	cfg := DefaultConfig()
	cfg.MaxConnections = 8
	p := New(cfg)
	defer p.Close()
	client := dial(t, "test:///backend", p.DialOption(), grpc.WithResolvers(names))

	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			for range 50 {
				_, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{})
				assert.NoError(t, err)
			}
		})
	}
	callers.Wait()

	s := p.Stats()
	assert.Equal(t, 8, s.Ready)
	assert.EqualValues(t, 64*50, s.Picks)
	assert.Zero(t, s.InFlight)
	assert.InEpsilon(t, a.calls.Load(), b.calls.Load(), 0.1)
}

// What each of eight connections carried that were there throughout, at one call at a time and at ten on each. The backend takes 2 ms: by
// one that answers at once, which connection is the least loaded is decided by scheduling.
func TestRealConnectionsAreUsedEvenlyAtLowAndAtHighLoad(t *testing.T) {
	const connections = 8
	for name, c := range map[string]struct{ callers, calls int }{"low": {1, 800}, "high": {10 * connections, 8000}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			carried := map[string]int{}
			count := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				p, _ := peer.FromContext(ctx)
				mu.Lock()
				carried[p.Addr.String()]++
				mu.Unlock()
				return handler(ctx, request)
			}
			cfg := DefaultConfig()
			cfg.MinConnections, cfg.MaxConnections = connections, connections
			cfg.HealthCheck.Enabled = false // its calls are none of the load's
			p := New(cfg)
			defer p.Close()
			client := dial(t, startServer(t, &slowHealth{delay: 2 * time.Millisecond}, grpc.UnaryInterceptor(count)), p.DialOption())
			call := func() {
				_, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
				assert.NoError(t, err)
			}
			call()
			require.Eventually(t, func() bool { return p.Stats().Ready == connections }, 10*time.Second, time.Millisecond)
			mu.Lock()
			clear(carried)
			mu.Unlock()
			var all sync.WaitGroup
			for range c.callers {
				all.Go(func() {
					for range c.calls / c.callers {
						call()
					}
				})
			}
			all.Wait()
			require.Len(t, carried, connections)
			for address, n := range carried {
				assert.InEpsilon(t, c.calls/connections, n, 0.1, address)
			}
			t.Logf("calls on each connection: %v", slices.Sorted(maps.Values(carried)))
		})
	}
}

func TestABlackHoleUnderRealTraffic(t *testing.T) {
	server := startServer(t, health.NewServer())
	proxy, err := tcpproxy.Start(server)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	cfg := DefaultConfig()
	cfg.MinConnections = 3
	cfg.HealthCheck.Interval, cfg.HealthCheck.Timeout = 200*time.Millisecond, 100*time.Millisecond
	p := New(cfg)
	defer p.Close()
	client := dial(t, proxy.Address(), p.DialOption())
	call := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := client.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		return err
	}
	require.Eventually(t, func() bool { return call() == nil && p.Stats().Ready == 3 }, 10*time.Second, 10*time.Millisecond)

	proxy.Conns()[0].Swallow()
	start := time.Now()
	require.Eventually(t, func() bool { _ = call(); return p.Stats().FailedChecks+p.Stats().Ejections > 0 }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return p.Stats().Ready+p.Stats().Ejected == 3 }, 10*time.Second, time.Millisecond)
	assert.Less(t, time.Since(start), 2*cfg.HealthCheck.Interval+time.Second, "two intervals, and room for a busy machine")
	for range 100 {
		require.NoError(t, call())
	}
}

func TestADifferentClientMayNameThePoolInItsServiceConfiguration(t *testing.T) {
	server := startServer(t, health.NewServer())
	for _, cfg := range []string{`{"loadBalancingPolicy":"connection_pool"}`, `{"loadBalancingConfig":[{"connection_pool":{}}]}`} {
		client := dial(t, server, grpc.WithDefaultServiceConfig(cfg))
		_, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
		require.NoError(t, err)
	}
}

func TestConfigurationDefaultsAreValidAndFaultsAreAllReported(t *testing.T) {
	cfg := DefaultConfig()
	require.NoError(t, cfg.Validate())
	require.NoError(t, cfg.HealthCheck.Validate())
	require.NoError(t, cfg.Ejection.Validate())
	require.NoError(t, (&HealthCheckConfig{Interval: -1}).Validate(), "switched off")
}

func BenchmarkPick(b *testing.B) {
	for _, connections := range []int{1, 8, 50} {
		b.Run(map[int]string{1: "1 connection", 8: "8 connections", 50: "50 connections"}[connections], func(b *testing.B) {
			client := &fakeClient{}
			p, _ := startPool(b, client, func(c *Config) { c.MinConnections, c.MaxConnections = connections, connections }, "a:1")
			require.Eventually(b, func() bool { return p.Stats().Ready == connections }, 10*time.Second, time.Millisecond)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					client.pick(b).end(nil)
				}
			})
		})
	}
}
