package connpool

import (
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// conn is one sub-connection. Its atomics are written by calls as they start and end, the rest is guarded by the
// balancer's mu.
type conn struct {
	balancer *poolBalancer
	slot     *slot
	sub      balancer.SubConn
	socket   *socket // nil when the client's credentials are not known
	// done is the method of the same name, bound once so that a pick allocates nothing.
	done func(balancer.DoneInfo)

	inFlight atomic.Int64
	// failures counts calls that failed in a row.
	failures atomic.Int64
	// answers counts calls that were answered.
	answers atomic.Int64

	state connectivity.State
	// failing is set by a failed attempt to connect and cleared by a successful one, so that the pool reports an error
	// between attempts instead of making callers wait through all of them.
	failing bool
	// retireAt is when the connection is replaced for its age; zero is never.
	retireAt time.Time
	// checkAt is when the next health check is due; zero is never or under way.
	checkAt time.Time
	// answersAtCheck is what answers was when the last health check began.
	answersAtCheck int64
}

// connect opens a connection for a slot, or returns nil when grpc-go is closing. The caller holds mu.
func (b *poolBalancer) connect(s *slot) *conn {
	c := &conn{balancer: b, slot: s, state: connectivity.Connecting}
	c.done = c.finish
	options := balancer.NewSubConnOptions{StateListener: func(st balancer.SubConnState) { b.onState(c, st) }}
	if b.creds != nil {
		c.socket = &socket{creds: b.creds}
		options.CredsBundle = c.socket //nolint:staticcheck // attributes would need the client to be built with credentials of ours
	}
	//nolint:staticcheck // deprecated only as to several addresses, of which an endpoint has one
	sub, err := b.cc.NewSubConn(s.endpoint.Addresses, options)
	if err != nil {
		b.lastErr = err
		return nil
	}
	c.sub = sub
	sub.Connect()
	return c
}

// disconnect closes a connection; grpc-go lets its calls in flight finish, and see abandon. The caller holds mu.
func (b *poolBalancer) disconnect(c *conn) {
	if c == nil {
		return
	}
	if c.state == connectivity.Ready {
		b.pool.counters.closed.Add(1)
	}
	c.sub.Shutdown()
}

// abandon ends the calls on a connection that has answered nothing since its last health check began. Those on a merely slow one
// may finish. The caller holds mu.
func (c *conn) abandon() {
	if c.socket != nil && c.answers.Load() == c.answersAtCheck {
		c.socket.close()
	}
}

// onState follows what grpc-go says about a connection.
func (b *poolBalancer) onState(c *conn, st balancer.SubConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := c.slot
	if b.closed || (c != s.current && c != s.next) {
		return
	}
	if c.state == connectivity.Ready && st.ConnectivityState != connectivity.Ready {
		b.pool.counters.closed.Add(1)
	}
	c.state = st.ConnectivityState
	now := time.Now()
	switch c.state {
	case connectivity.Ready:
		b.onReady(c, now)
	case connectivity.Idle:
		// The server closed the connection: its address may be gone too.
		b.cc.ResolveNow(resolver.ResolveNowOptions{})
		c.sub.Connect()
	case connectivity.TransientFailure:
		c.failing = true
		b.lastErr = st.ConnectionError
		b.cc.ResolveNow(resolver.ResolveNowOptions{})
	}
	b.publish(now)
	b.nudge()
}

func (b *poolBalancer) onReady(c *conn, now time.Time) {
	cfg, s := &b.pool.cfg, c.slot
	b.pool.counters.opened.Add(1)
	c.failing = false
	c.failures.Store(0)
	c.retireAt = cfg.retireAt(now)
	if cfg.HealthCheck.Enabled {
		c.checkAt = now.Add(cfg.HealthCheck.Interval)
		if s.suspect {
			c.checkAt = now
		}
	}
	if c == s.next {
		b.disconnect(s.current)
		s.current, s.next = c, nil
	}
}

// finish is called when a call ends.
func (c *conn) finish(info balancer.DoneInfo) {
	b := c.balancer
	c.inFlight.Add(-1)
	b.inFlight.Add(-1)
	switch status.Code(info.Err) {
	case codes.Canceled:
		// The caller gave up; that says nothing about the connection.
	case codes.Unavailable, codes.DeadlineExceeded:
		limit := int64(b.pool.cfg.Ejection.ConsecutiveFailures)
		if failures := c.failures.Add(1); limit > 0 && failures == limit {
			b.nudge()
		}
	default:
		// Any other answer, an error included, came through the connection.
		c.answers.Add(1)
		// The load spares the common case a write.
		if c.failures.Load() != 0 {
			c.failures.Store(0)
		}
	}
}

// picker hands out the connections that were ready when it was made.
type picker struct {
	balancer *poolBalancer
	conns    []*conn
	target   int64
}

// Pick returns the connection whose turn it is. It looks at all of them: sampling two would be cheaper, but leaves
// connections up to twice as loaded as others, and fifty loads are nothing against sending a request.
func (p *picker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	b := p.balancer
	i, mean := b.turns.choose(len(p.conns), func(i int) int64 { return p.conns[i].inFlight.Load() })
	best := p.conns[i]
	best.inFlight.Add(1)
	b.pool.counters.picks.Add(1)
	if b.load.observe(mean, b.inFlight.Add(1), p.target) && b.growthAsked.CompareAndSwap(false, true) {
		b.nudge()
	}
	return balancer.PickResult{SubConn: best.sub, Done: best.done}, nil
}
