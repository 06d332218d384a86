package connpool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
)

// poolBalancer is the pool of one client connection.
//
// Lock order: mu before grpc-go's own locks. grpc-go calls the balancer, its listeners and its pickers without holding
// any lock that the calls made here under mu need. Pick and its Done take no lock.
type poolBalancer struct {
	cc balancer.ClientConn
	// creds are those of the client connection; nil when it has them in a bundle.
	creds credentials.TransportCredentials

	// wake makes the maintenance goroutine look at the pool now. It holds one token: more would say nothing new.
	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	// tasks counts the maintenance goroutine and the health checks under way.
	tasks sync.WaitGroup

	load     load
	inFlight atomic.Int64
	// growthAsked is set by the pick that meets pressure first and cleared when a growth window ends without any, so that
	// a busy pool wakes the maintenance goroutine once per window and an idle one never.
	growthAsked atomic.Bool
	turns       turns

	mu        sync.Mutex
	closed    bool
	pool      *Pool
	endpoints []resolver.Endpoint
	slots     []*slot
	lastErr   error
	// growAt and shrinkAt end the current sizing windows; zero means that none is open.
	growAt, shrinkAt time.Time
}

// slot is a place for one connection. Replacing a connection keeps the slot, and with it the memory of failures.
type slot struct {
	endpoint resolver.Endpoint
	// current takes the calls. next, when not nil, is being connected to take over from it, so that replacing never
	// leaves a gap.
	current, next *conn
	// ejectedUntil holds the slot back while others can do the work; ejections counts how often in a row.
	// heldBack is whether the last tick found it so, to notice the end.
	ejectedUntil time.Time
	ejections    int
	heldBack     bool
	// suspect is set by a failed health check and cleared by a good one.
	suspect bool
	// silent are the connections that were replaced because they did not answer a health check, until a new one does. They are kept
	// as long as calls wait on them, so there are few: one for each health check in the time that a call may take.
	silent []*conn
	// silentChecks counts the health checks without an answer since the last good one.
	silentChecks int
	// replacedAt is when the connection was last replaced for failing, to bound how often that happens.
	replacedAt time.Time
}

func newPoolBalancer(cc balancer.ClientConn, creds credentials.TransportCredentials) *poolBalancer {
	b := &poolBalancer{cc: cc, creds: creds, wake: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// UpdateClientConnState takes the addresses from the resolver.
func (b *poolBalancer) UpdateClientConnState(s balancer.ClientConnState) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	if b.pool == nil {
		cfg, _ := s.BalancerConfig.(*lbConfig)
		b.pool = cfg.resolve()
		b.pool.join(b)
		b.tasks.Go(b.maintain)
	}
	endpoints := slices.Clone(s.ResolverState.Endpoints)
	endpoints = slices.DeleteFunc(endpoints, func(e resolver.Endpoint) bool { return len(e.Addresses) == 0 })
	if len(endpoints) == 0 {
		b.resolverErrorLocked(errors.New("the name resolver gave no addresses"))
		return balancer.ErrBadResolverState
	}
	b.endpoints = endpoints
	b.slots = slices.DeleteFunc(b.slots, func(s *slot) bool {
		if slices.ContainsFunc(endpoints, func(e resolver.Endpoint) bool { return sameEndpoint(e, s.endpoint) }) {
			return false
		}
		b.closeSlot(s)
		return true
	})
	// In rounds, so that the maximum does not leave the last addresses without any.
	for round := range b.pool.cfg.MinConnections {
		for _, e := range endpoints {
			has := b.slotsOf(e)
			for has == 0 && len(b.slots) >= b.maxSize() {
				b.closeLeastUseful() // another endpoint has several: the maximum is one for each at least
			}
			if has <= round && len(b.slots) < b.maxSize() {
				b.openSlot(e)
			}
		}
	}
	b.publish(time.Now())
	b.nudge()
	return nil
}

// ResolverError keeps what there is; only a pool without connections has nothing else to report.
func (b *poolBalancer) ResolverError(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resolverErrorLocked(err)
}

func (b *poolBalancer) resolverErrorLocked(err error) {
	if b.closed || len(b.slots) > 0 {
		return
	}
	b.lastErr = err
	b.cc.UpdateState(balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: base.NewErrPicker(err)})
}

// UpdateSubConnState is never called: every sub-connection has a listener.
func (*poolBalancer) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle reconnects. Connections never rest idle here, so there is nothing to do.
func (*poolBalancer) ExitIdle() {}

// Close ends the connections and waits for the goroutines. Calls in flight are allowed to finish by grpc-go.
func (b *poolBalancer) Close() {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.closed = true
	for _, s := range b.slots {
		b.closeSlot(s)
	}
	b.slots = nil
	if b.pool != nil {
		b.pool.leave(b)
	}
	b.mu.Unlock()
	b.cancel()
	b.tasks.Wait()
}

func (b *poolBalancer) maxSize() int { return max(b.pool.cfg.MaxConnections, len(b.endpoints)) }

func (b *poolBalancer) minSize() int {
	return min(b.pool.cfg.MinConnections*len(b.endpoints), b.maxSize())
}

func (b *poolBalancer) slotsOf(e resolver.Endpoint) int {
	n := 0
	for _, s := range b.slots {
		if sameEndpoint(s.endpoint, e) {
			n++
		}
	}
	return n
}

// openSlot adds a connection to an endpoint. The caller holds mu.
func (b *poolBalancer) openSlot(e resolver.Endpoint) {
	s := &slot{endpoint: e}
	if s.current = b.connect(s); s.current != nil {
		b.slots = append(b.slots, s)
	}
}

// replace opens the connection that takes over from the slot's current one. The caller holds mu.
func (b *poolBalancer) replace(s *slot) {
	if s.next == nil {
		s.next = b.connect(s)
	}
}

func (b *poolBalancer) closeSlot(s *slot) {
	b.disconnect(s.current)
	b.disconnect(s.next)
	s.current, s.next = nil, nil
}

// publish gives grpc-go the picker for what is ready now. The caller holds mu.
//
// Connections that are ejected or suspect are left out while there are others; when there are none, a doubtful connection
// is better than a certain error.
func (b *poolBalancer) publish(now time.Time) {
	var good, doubtful []*conn
	connecting := false
	for _, s := range b.slots {
		switch c := s.current; {
		case c.state == connectivity.Ready && b.usable(s, now):
			good = append(good, c)
		case c.state == connectivity.Ready:
			doubtful = append(doubtful, c)
		case !c.failing:
			connecting = true
		}
	}
	if len(good) == 0 {
		good = doubtful
	}
	state := balancer.State{ConnectivityState: connectivity.TransientFailure}
	switch {
	case len(good) > 0:
		state.ConnectivityState = connectivity.Ready
		state.Picker = &picker{balancer: b, conns: good, target: int64(b.pool.cfg.TargetInFlightPerConnection)}
	case connecting:
		state.ConnectivityState = connectivity.Connecting
		state.Picker = base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	default:
		state.Picker = base.NewErrPicker(b.lastErr)
	}
	b.cc.UpdateState(state)
}

func (*poolBalancer) usable(s *slot, now time.Time) bool {
	return !s.suspect && !now.Before(s.ejectedUntil)
}

// usableCount is the number of slots that take calls, without the given one. The caller holds mu.
func (b *poolBalancer) usableCount(without *slot, now time.Time) int {
	n := 0
	for _, s := range b.slots {
		if s != without && s.current.state == connectivity.Ready && b.usable(s, now) {
			n++
		}
	}
	return n
}

func (b *poolBalancer) addGauges(st *Stats) {
	st.InFlight += b.inFlight.Load()
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.slots {
		switch {
		case s.current.state != connectivity.Ready:
			st.Connecting++
		case s.suspect:
			st.Unhealthy++
		case now.Before(s.ejectedUntil):
			st.Ejected++
		default:
			st.Ready++
		}
	}
}

// nudge makes the maintenance goroutine run.
func (b *poolBalancer) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func sameEndpoint(a, b resolver.Endpoint) bool {
	return slices.EqualFunc(a.Addresses, b.Addresses, resolver.Address.Equal)
}
