package connpool

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
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
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
		}
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
	client := dial(t, "test:///backend", append(p.DialOptions(), grpc.WithResolvers(names))...)

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

// What each connection carried that was there throughout, from a backend that answers at once and one that takes 2 ms.
func TestRealConnectionsAreUsedEvenlyAtLowAndAtHighLoad(t *testing.T) {
	for name, c := range map[string]struct {
		connections, callers, calls int
		delay                       time.Duration
	}{
		"low, at once":        {4, 1, 800, 0},
		"high, at once":       {4, 64, 8000, 0},
		"high, at once, more": {8, 64, 8000, 0},
		"low, after 2 ms":     {8, 1, 800, 2 * time.Millisecond},
		"high, after 2 ms":    {8, 80, 8000, 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var carried tally
			count := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				p, _ := peer.FromContext(ctx)
				carried.add(p.Addr.String())
				return handler(ctx, request)
			}
			cfg := DefaultConfig()
			cfg.MinConnections, cfg.MaxConnections = c.connections, c.connections
			cfg.HealthCheck.Enabled = false // its calls are none of the load's
			p := New(cfg)
			defer p.Close()
			client := dial(t, startServer(t, &slowHealth{delay: c.delay}, grpc.UnaryInterceptor(count)), p.DialOptions()...)
			call := func() {
				_, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
				assert.NoError(t, err)
			}
			call()
			require.Eventually(t, func() bool { return p.Stats().Ready == c.connections }, 10*time.Second, time.Millisecond)
			carried.clear()
			callAll(c.callers, c.calls, call)
			carried.requireEven(t, c.connections)
		})
	}
}

// tally counts what each connection carried, by its client's address.
type tally struct {
	mu    sync.Mutex
	calls map[string]int
}

func (c *tally) add(connection string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	c.calls[connection]++
}

func (c *tally) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
}

// requireEven requires that each of so many connections carried the mean, by 10 %.
func (c *tally) requireEven(t *testing.T, connections int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("calls on each connection: %v", slices.Sorted(maps.Values(c.calls)))
	require.Len(t, c.calls, connections)
	total := 0
	for _, n := range c.calls {
		total += n
	}
	for address, n := range c.calls {
		assert.InEpsilon(t, total/connections, n, 0.1, address)
	}
}

// callAll makes calls from so many callers at once.
func callAll(callers, calls int, call func()) {
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls / callers {
				call()
			}
		})
	}
	all.Wait()
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
	client := dial(t, proxy.Address(), p.DialOptions()...)
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
			picker := client.currentState().Picker
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := picker.Pick(balancer.PickInfo{})
					if err != nil {
						b.Error(err)
						return
					}
					r.Done(balancer.DoneInfo{})
				}
			})
		})
	}
}

func TestABackendThatIsBackIsFoundWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(DefaultConfig())
		defer p.Close()
		var tried []time.Time // written by one connection, one attempt after the other
		away := grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			tried = append(tried, time.Now())
			return nil, errors.New("away")
		})
		cc, err := grpc.NewClient("passthrough:///backend", append(p.DialOptions(), away, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		require.NoError(t, err)
		cc.Connect()
		time.Sleep(10 * time.Minute)
		require.NoError(t, cc.Close())
		synctest.Wait()
		require.Greater(t, len(tried), 50)
		for i := 1; i < len(tried); i++ {
			assert.LessOrEqual(t, tried[i].Sub(tried[i-1]), 12*time.Second)
		}
	})
}
