package connpool

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/serviceconfig"
)

// Name is the balancer's name in a gRPC service configuration ("loadBalancingPolicy").
const Name = "connection_pool"

// Stats is what a pool counts. The first group are gauges, the second counters since the pool was made.
type Stats struct {
	// Ready connections take calls.
	Ready int
	// Connecting counts those being established, waiting to reconnect included.
	Connecting int
	// Ejected connections are held back because the one before them failed calls.
	Ejected int
	// Unhealthy connections did not answer their last health check, or said that they do not serve.
	Unhealthy int
	// InFlight is the number of calls handed out and not finished.
	InFlight int64

	Picks         uint64
	Ejections     uint64
	FailedChecks  uint64
	Opened        uint64
	Closed        uint64
	GrowDecisions uint64
}

// Pool carries a configuration to the balancers of one or more client connections and collects their statistics. It is
// safe for concurrent use. Close it after the client connections.
type Pool struct {
	cfg Config
	key string

	mu sync.Mutex
	// members are the live balancers. A client connection has at most one, none while it is idle.
	members map[*poolBalancer]struct{}

	counters counters
}

// counters outlive the balancers, which come and go with a client connection's idleness.
type counters struct {
	picks, ejections, failedChecks, opened, closed, growDecisions atomic.Uint64
}

// pools finds a Pool by the key in the service configuration, the only thing grpc-go hands to a balancer. It holds what is
// between New and Close.
var (
	pools    sync.Map // string -> *Pool
	poolKeys atomic.Uint64
)

// New returns a pool. The configuration must be valid.
func New(cfg Config) *Pool {
	p := &Pool{
		cfg:     cfg,
		key:     strconv.FormatUint(poolKeys.Add(1), 10),
		members: make(map[*poolBalancer]struct{}),
	}
	pools.Store(p.key, p)
	return p
}

// reconnect is how long a connection that could not be made is left alone: grpc-go's own (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md),
// but for its two minutes at most. Meanwhile calls are refused, though the backend may be back.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second},
	MinConnectTimeout: 20 * time.Second,
}

// DialOptions make a client connection use the pool.
func (p *Pool) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultServiceConfig(fmt.Sprintf(`{"loadBalancingConfig":[{%q:{"pool":%q}}]}`, Name, p.key)),
		grpc.WithConnectParams(reconnect),
	}
}

// Stats returns the statistics of all client connections of the pool.
func (p *Pool) Stats() Stats {
	s := Stats{
		Picks:         p.counters.picks.Load(),
		Ejections:     p.counters.ejections.Load(),
		FailedChecks:  p.counters.failedChecks.Load(),
		Opened:        p.counters.opened.Load(),
		Closed:        p.counters.closed.Load(),
		GrowDecisions: p.counters.growDecisions.Load(),
	}
	p.mu.Lock()
	members := make([]*poolBalancer, 0, len(p.members))
	for b := range p.members {
		members = append(members, b)
	}
	p.mu.Unlock()
	for _, b := range members {
		b.addGauges(&s)
	}
	return s
}

// Close forgets the pool. Client connections made with it keep working.
func (p *Pool) Close() { pools.Delete(p.key) }

func (p *Pool) join(b *poolBalancer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[b] = struct{}{}
}

func (p *Pool) leave(b *poolBalancer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.members, b)
}

// builder makes balancers. It is stateless, as grpc-go requires of something registered for the whole process.
type builder struct{}

// Registration belongs into init: grpc-go's registry is not safe for concurrent writes.
func init() { balancer.Register(builder{}) }

func (builder) Name() string { return Name }

func (builder) Build(cc balancer.ClientConn, o balancer.BuildOptions) balancer.Balancer {
	return newPoolBalancer(cc, o.DialCreds)
}

// lbConfig is the balancer's part of a service configuration. A client that knows only the balancer's name gives none and
// gets the defaults.
type lbConfig struct {
	serviceconfig.LoadBalancingConfig `json:"-"`
	Pool                              string `json:"pool"`
}

func (builder) ParseConfig(raw json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	cfg := &lbConfig{}
	if err := json.Unmarshal(raw, cfg); err != nil {
		return nil, fmt.Errorf("balancer %s: %w", Name, err)
	}
	return cfg, nil
}

// resolve returns the pool that a service configuration names, or a nameless one with the defaults.
func (c *lbConfig) resolve() *Pool {
	if c != nil && c.Pool != "" {
		if p, ok := pools.Load(c.Pool); ok {
			return p.(*Pool)
		}
	}
	return &Pool{cfg: DefaultConfig(), members: make(map[*poolBalancer]struct{})}
}
