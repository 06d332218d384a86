package connpool

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// HTTP is a pool for HTTP clients.
//
// With HTTP/1.1 a connection carries one request at a time, and a single http.Transport is a pool already: Tune gives it the
// pool's bounds. With HTTP/2 one connection carries all requests, so the pool uses several clients with a transport each.
// Which of the two a server speaks shows in its answers.
//
// It is safe for concurrent use, and needs no goroutine: it is looked after when it is used, and transports close idle
// connections by themselves.
type HTTP struct {
	cfg  Config
	open func() (*http.Client, error)

	load     load
	inFlight atomic.Int64
	turns    turns
	// multiplexed is set by the first answer over HTTP/2.
	multiplexed atomic.Bool
	counters    counters

	// members is replaced, never changed, so that a call reads it without the lock.
	members atomic.Pointer[[]*httpMember]
	// mu guards changes of members and the times.
	mu               sync.Mutex
	growAt, shrinkAt time.Time
}

type httpMember struct {
	client   *http.Client
	inFlight atomic.Int64
	failures atomic.Int64
	// retired is set when the member is given no more requests, but for those that have picked it already.
	retired atomic.Bool
	// heldBackUntil is a Unix time in nanoseconds, written when the member is made.
	heldBackUntil int64
	// retireAt is when the member is replaced for its age, written when the member is made; zero is never.
	retireAt time.Time
}

// NewHTTP returns a pool of the clients that open makes.
func NewHTTP(cfg Config, open func() (*http.Client, error)) (*HTTP, error) {
	p := &HTTP{cfg: cfg, open: open}
	first, err := p.newMember(0)
	if err != nil {
		return nil, err
	}
	p.members.Store(&[]*httpMember{first})
	return p, nil
}

// What Go's transport has by default, and with it the Collector's HTTP client: a value that differs has been set.
const (
	unsetMaxIdleConns    = 100
	unsetIdleConnTimeout = 90 * time.Second
)

// Tune sets the bounds of an HTTP/1.1 connection pool, where they are not set already. Go keeps two idle connections per
// host by default, so that with more requests at a time most of them would connect anew.
func (c *Config) Tune(maxConnsPerHost, maxIdleConnsPerHost, maxIdleConns *int, idleConnTimeout *time.Duration) {
	if *maxConnsPerHost == 0 {
		*maxConnsPerHost = c.MaxConnections
	}
	if *maxIdleConnsPerHost == 0 {
		*maxIdleConnsPerHost = *maxConnsPerHost
	}
	if *maxIdleConns == unsetMaxIdleConns {
		*maxIdleConns = max(*maxIdleConns, *maxIdleConnsPerHost)
	}
	if *idleConnTimeout == unsetIdleConnTimeout && c.IdleTimeout > 0 {
		*idleConnTimeout = c.IdleTimeout
	}
}

// Do calls fn with the client whose turn it is. fn returns the protocol's major version of the answer,
// and an error when there was none; context.Canceled means that the caller did not wait for it.
func (p *HTTP) Do(fn func(*http.Client) (major int, err error)) error {
	now := time.Now()
	m, mean := p.pick(*p.members.Load(), now)
	if !m.retireAt.IsZero() && !now.Before(m.retireAt) {
		p.replace(m, func([]*httpMember) int64 { return 0 })
		m, mean = p.pick(*p.members.Load(), now)
	}
	m.inFlight.Add(1)
	p.counters.picks.Add(1)
	pressured := p.load.observe(mean, p.inFlight.Add(1), int64(p.cfg.TargetInFlightPerConnection))
	if p.multiplexed.Load() {
		p.resize(now, pressured)
	}
	major, err := fn(m.client)
	p.inFlight.Add(-1)
	if m.inFlight.Add(-1) == 0 && m.retired.Load() {
		m.closeConnections()
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) { // the caller gave up; that says nothing about the connection
			p.failed(m)
		}
		return err
	}
	m.failures.Store(0)
	if major == 2 && p.multiplexed.CompareAndSwap(false, true) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.setSize(max(p.cfg.MinConnections, len(*p.members.Load())))
	}
	return nil
}

// pick returns the member whose turn it is, of those that are not held back or else of all, and the mean of the requests in flight.
func (p *HTTP) pick(members []*httpMember, now time.Time) (*httpMember, int64) {
	i, mean := p.turns.choose(len(members), func(i int) int64 {
		if members[i].heldBackUntil > now.UnixNano() {
			return -1
		}
		return members[i].inFlight.Load()
	})
	if mean < 0 {
		i, mean = p.turns.choose(len(members), func(i int) int64 { return members[i].inFlight.Load() })
	}
	return members[i], mean
}

// resize grows and shrinks the pool. Its windows are those of the gRPC pool, but end with the first call after their time.
func (p *HTTP) resize(now time.Time, pressured bool) {
	if !pressured && p.cfg.IdleTimeout == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	members := *p.members.Load()
	target := p.cfg.TargetInFlightPerConnection
	if pressured {
		switch {
		case p.growAt.IsZero() || now.Sub(p.growAt) > growthWindow:
			p.load.openWindow()
			p.growAt = now.Add(growthWindow)
		case !now.Before(p.growAt):
			p.growAt = time.Time{}
			size := p.load.grownSize(len(members), p.cfg.MaxConnections, p.inFlight.Load(), target)
			if size > len(members) {
				p.counters.growDecisions.Add(1)
			}
			p.setSize(size)
		}
	}
	switch {
	case p.cfg.IdleTimeout == 0:
	case p.shrinkAt.IsZero():
		p.shrinkAt = now.Add(p.cfg.IdleTimeout)
	case !now.Before(p.shrinkAt):
		p.shrinkAt = now.Add(p.cfg.IdleTimeout)
		p.setSize(p.load.shrunkSize(len(members), min(p.cfg.MinConnections, len(members)), p.inFlight.Load(), target))
	}
}

// setSize opens or closes members. The caller holds mu.
func (p *HTTP) setSize(size int) {
	members := slices.Clone(*p.members.Load())
	for len(members) < size {
		m, err := p.newMember(0)
		if err != nil {
			break // it worked for the first one; what there is goes on
		}
		members = append(members, m)
	}
	for _, m := range members[min(size, len(members)):] {
		p.retire(m)
	}
	members = members[:min(size, len(members))]
	p.members.Store(&members)
}

// failed counts an answer that did not come, and replaces a member on which none came several times in a row: its
// connection may be a black hole, which the transport would use until the system gives it up.
func (p *HTTP) failed(m *httpMember) {
	limit := int64(p.cfg.Ejection.ConsecutiveFailures)
	if limit == 0 || m.failures.Add(1) != limit {
		return
	}
	replaced := p.replace(m, func(members []*httpMember) int64 {
		if 2*p.heldBack(members) >= len(members)-1 {
			return 0 // as many as half are held back: the backend is away, not the connection broken
		}
		return time.Now().Add(p.cfg.Ejection.BaseTime).UnixNano()
	})
	if replaced {
		p.counters.ejections.Add(1)
	}
}

// replace puts a new member in the place of one, held back until what the function returns, and reports whether it did: another
// call may have done so before.
func (p *HTTP) replace(m *httpMember, heldBackUntil func([]*httpMember) int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	members := slices.Clone(*p.members.Load())
	i := slices.Index(members, m)
	if i < 0 {
		return false
	}
	replacement, err := p.newMember(heldBackUntil(members))
	if err != nil {
		return false
	}
	members[i] = replacement
	p.members.Store(&members)
	p.retire(m)
	return true
}

func (*HTTP) heldBack(members []*httpMember) int {
	n, now := 0, time.Now().UnixNano()
	for _, m := range members {
		if m.heldBackUntil > now {
			n++
		}
	}
	return n
}

func (p *HTTP) newMember(heldBackUntil int64) (*httpMember, error) {
	client, err := p.open()
	if err != nil {
		return nil, err
	}
	p.counters.opened.Add(1)
	return &httpMember{client: client, heldBackUntil: heldBackUntil, retireAt: p.cfg.retireAt(time.Now())}, nil
}

// retire closes the connections of a member. Requests under way finish, and the last of them closes theirs: a transport leaves those with
// requests open, and may have no time-out for idle ones.
func (p *HTTP) retire(m *httpMember) {
	p.counters.closed.Add(1)
	m.retired.Store(true)
	m.closeConnections()
}

// brokenOff is how long a transport may count a request that its caller has broken off: it ends the request after the call has returned.
const brokenOff = time.Second

// closeConnections closes those without requests.
func (m *httpMember) closeConnections() {
	m.client.CloseIdleConnections()
	time.AfterFunc(brokenOff, m.client.CloseIdleConnections)
}

// Stats returns the statistics of the pool. Ready counts clients: with HTTP/1.1 there is one, whatever its connections.
func (p *HTTP) Stats() Stats {
	members := *p.members.Load()
	heldBack := p.heldBack(members)
	return Stats{
		Ready:         len(members) - heldBack,
		Ejected:       heldBack,
		InFlight:      p.inFlight.Load(),
		Picks:         p.counters.picks.Load(),
		Ejections:     p.counters.ejections.Load(),
		Opened:        p.counters.opened.Load(),
		Closed:        p.counters.closed.Load(),
		GrowDecisions: p.counters.growDecisions.Load(),
	}
}

// Close closes the idle connections. Call it when no call is under way.
func (p *HTTP) Close() {
	for _, m := range *p.members.Load() {
		m.client.CloseIdleConnections()
	}
}
