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
