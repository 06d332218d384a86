package connpool

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/encoding"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// verdict is what a health check says about a connection.
type verdict uint8

const (
	healthy verdict = iota
	// notServing: the server answers, and says that it does not want calls.
	notServing
	// silent: no answer came back through the connection in time.
	silent
)

// silentReplaced is how many connections in a row are replaced at once when they are silent: the first, and one that was unlucky. From
// then on there is one for each interval.
const silentReplaced = 2

// pinned gives calls a way through one sub-connection instead of through the balancer. grpc-go builds such things with a
// producer, and passes it the sub-connection as a client connection.
type pinned struct{}

func (pinned) Build(cc any) (balancer.Producer, func()) { return cc, func() {} }

// checkIfDue starts a health check. The caller holds mu.
func (b *poolBalancer) checkIfDue(s *slot, now time.Time) {
	c := s.current
	if c.state != connectivity.Ready || c.checkAt.IsZero() || now.Before(c.checkAt) {
		return
	}
	c.checkAt = time.Time{}
	c.answersAtCheck = c.answers.Load()
	producer, release := c.sub.GetOrBuildProducer(pinned{})
	b.tasks.Go(func() {
		defer release()
		b.onVerdict(c, check(b.ctx, producer.(grpc.ClientConnInterface), b.pool.cfg.HealthCheck))
	})
}

// check makes one grpc.health.v1 Check. It is a ping at least: any answer but "not serving" shows that the connection
// carries calls both ways. Headers of the client's interceptors are not on it, so a server that wants authentication may
// well refuse it.
func check(ctx context.Context, cc grpc.ClientConnInterface, cfg HealthCheckConfig) verdict {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	// Identity: a client's own default compressor must not apply to it.
	resp, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{Service: cfg.Service},
		grpc.UseCompressor(encoding.Identity))
	switch status.Code(err) {
	case codes.OK:
		if resp.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			return healthy
		}
		return notServing
	case codes.NotFound: // the health service does not know the service asked for
		return notServing
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		if ctx.Err() != nil {
			return silent
		}
		// A proxy says so when the backend behind it is away, as a new connection would too. When it is the connection that has ended,
		// grpc-go connects anew.
		return notServing
	default:
		return healthy
	}
}

// onVerdict applies the result of a health check. A connection that is silent is replaced; but when most are, the backend
// is, and one replacement at a time, and one for each interval, is enough to see when it is back.
func (b *poolBalancer) onVerdict(c *conn, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, now := c.slot, time.Now()
	if b.closed || c != s.current || c.state != connectivity.Ready {
		return
	}
	c.checkAt = now.Add(b.pool.cfg.HealthCheck.Interval)
	changed := s.suspect != (v != healthy)
	s.suspect = v != healthy
	if v != healthy {
		b.pool.counters.failedChecks.Add(1)
	}
	if v == healthy {
		for _, old := range s.silent {
			old.abandon()
		}
		s.silent, s.silentChecks = nil, 0
	}
	if v == silent {
		s.silentChecks++
		paced := s.silentChecks <= silentReplaced || now.Sub(s.replacedAt) >= b.pool.cfg.HealthCheck.Interval
		if paced && (2*b.usableCount(s, now) >= len(b.slots) || !b.replacing()) {
			s.replacedAt = now
			// The one before is not forgotten when its replacement is silent too, as under a moment of too much work.
			s.silent = slices.DeleteFunc(s.silent, func(old *conn) bool { return old.inFlight.Load() == 0 })
			s.silent = append(s.silent, c)
			b.replace(s)
		}
	}
	if changed {
		b.publish(now)
	}
	b.nudge()
}

// replacing reports whether a replacement is being connected. The caller holds mu.
func (b *poolBalancer) replacing() bool {
	for _, s := range b.slots {
		if s.next != nil {
			return true
		}
	}
	return false
}
