package connpool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClient stands for grpc-go's side of a balancer: it makes sub-connections that become ready when told, and keeps the
// last picker.
type fakeClient struct {
	balancer.ClientConn // only the methods below are called

	mu       sync.Mutex
	subs     []*fakeSub
	state    balancer.State
	resolves int
	// manual leaves new sub-connections connecting.
	manual bool
	// deaf is an address whose sub-connections stay connecting.
	deaf string
	// refuse makes NewSubConn fail, as it does while grpc-go closes.
	refuse bool
	// health is that of new sub-connections.
	health func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error)
}

type fakeSub struct {
	balancer.SubConn
	client   *fakeClient
	addr     string
	listener func(balancer.SubConnState)

	mu       sync.Mutex
	connects int
	shut     bool
	// health answers health checks; nil answers that the service is not implemented.
	health func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error)
	checks int
}

func (c *fakeClient) NewSubConn(addrs []resolver.Address, o balancer.NewSubConnOptions) (balancer.SubConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		return nil, fmt.Errorf("closing")
	}
	s := &fakeSub{client: c, addr: addrs[0].Addr, listener: o.StateListener, health: c.health}
	c.subs = append(c.subs, s)
	return s, nil
}

func (c *fakeClient) UpdateState(s balancer.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

func (c *fakeClient) ResolveNow(resolver.ResolveNowOptions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resolves++
}

func (s *fakeSub) Connect() {
	s.mu.Lock()
	s.connects++
	s.mu.Unlock()
	s.client.mu.Lock()
	manual := s.client.manual || s.addr == s.client.deaf
	s.client.mu.Unlock()
	if !manual {
		// As in grpc-go, listeners are called from another goroutine.
		go s.become(connectivity.Ready)
	}
}

func (s *fakeSub) become(state connectivity.State) {
	update := balancer.SubConnState{ConnectivityState: state}
	if state == connectivity.TransientFailure {
		update.ConnectionError = fmt.Errorf("connection to %s refused", s.addr)
	}
	s.listener(update)
}

func (s *fakeSub) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
}

func (s *fakeSub) isShut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shut
}

func (s *fakeSub) GetOrBuildProducer(b balancer.ProducerBuilder) (balancer.Producer, func()) {
	return b.Build(fakePinned{s})
}

// fakePinned answers the health checks of one sub-connection.
type fakePinned struct{ *fakeSub }

func (p fakePinned) Invoke(ctx context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	p.mu.Lock()
	p.checks++
	health := p.health
	p.mu.Unlock()
	if health == nil {
		return status.Error(codes.Unimplemented, "")
	}
	st, err := health(ctx)
	reply.(*healthpb.HealthCheckResponse).Status = st
	return err
}

func (fakePinned) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "")
}

// all returns every sub-connection made so far.
func (c *fakeClient) all() []*fakeSub {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.subs)
}

// live returns the sub-connections that are not shut down.
func (c *fakeClient) live() []*fakeSub {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*fakeSub
	for _, s := range c.subs {
		if !s.isShut() {
			out = append(out, s)
		}
	}
	return out
}

func (c *fakeClient) currentState() balancer.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// call is a call under way.
type call struct {
	sub  *fakeSub
	done func(balancer.DoneInfo)
}

func (c call) end(err error) { c.done(balancer.DoneInfo{Err: err}) }

// pick makes a call.
func (c *fakeClient) pick(t testing.TB) call {
	t.Helper()
	r, err := c.currentState().Picker.Pick(balancer.PickInfo{})
	require.NoError(t, err)
	return call{r.SubConn.(*fakeSub), r.Done}
}

func endpoints(addrs ...string) balancer.ClientConnState {
	var s balancer.ClientConnState
	for _, a := range addrs {
		s.ResolverState.Endpoints = append(s.ResolverState.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	return s
}

// startPool builds a balancer as grpc-go does, with a configuration, and gives it addresses.
func startPool(t testing.TB, client *fakeClient, edit func(*Config), addrs ...string) (*Pool, balancer.Balancer) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.HealthCheck.Enabled = false
	if edit != nil {
		edit(&cfg)
	}
	require.NoError(t, cfg.Validate())
	p := New(cfg)
	b := builder{}.Build(client, balancer.BuildOptions{})
	state := endpoints(addrs...)
	state.BalancerConfig = &lbConfig{Pool: p.key}
	require.NoError(t, b.UpdateClientConnState(state))
	t.Cleanup(func() { b.Close(); p.Close() })
	return p, b
}
