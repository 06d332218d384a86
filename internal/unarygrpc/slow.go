package unarygrpc

import (
	"time"

	"google.golang.org/grpc/codes"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// refuseSlow makes room where others have none: it refuses the calls whose messages have been arriving for long. A connection that has stopped in the
// middle of a frame cannot hear of it, and ends. The mutex is held.
func (c *conn) refuseSlow(now time.Time) {
	if !c.server.cfg.Budget.Tight() {
		return
	}
	sinceBorn := now.Sub(c.keepalive.born)
	for _, s := range c.streams {
		if s.begun || sinceBorn-s.opened < bufpool.SlowReader {
			continue
		}
		if s == c.filling {
			if sinceBorn-time.Duration(c.keepalive.lastHeard.Load()) >= bufpool.SlowReader {
				c.server.cfg.Budget.Refuse()
				_ = c.raw.Close()
			}
			continue
		}
		s.fail(codes.Unavailable, "%v, and this message takes long to arrive", bufpool.ErrNoRoom)
		c.server.cfg.Budget.Refuse()
		c.refuseLocked(s, false)
	}
}

// refuseLate refuses the calls whose deadlines have passed before their messages were complete, and returns when the next one does. The mutex is
// held.
func (c *conn) refuseLate(now time.Time) (next time.Duration) {
	next = forever
	for _, s := range c.streams {
		if s.begun || s.deadline.IsZero() {
			continue
		}
		left := s.deadline.Sub(now)
		switch {
		case left > 0:
			next = min(next, left)
		case s == c.filling:
			next = min(next, time.Second) // when its frame will have been read, with luck
		default:
			s.fail(codes.DeadlineExceeded, "the deadline passed before the message was complete")
			c.refuseLocked(s, false)
		}
	}
	return next
}
