package unarygrpc

import (
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/keepalive"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// The defaults and the rules are grpc-go's: https://github.com/grpc/grpc-go/blob/master/Documentation/keepalive.md.
const (
	defaultPingTime    = 2 * time.Hour
	defaultPingTimeout = 20 * time.Second
	defaultMinTime     = 5 * time.Minute
	// pingWithoutCalls is how often a client may ask on a connection without calls, unless it is permitted to ask oftener.
	pingWithoutCalls = 2 * time.Hour
	maxPingStrikes   = 2
	forever          = time.Duration(math.MaxInt64)
	// leaveTimeout is how long a client may take to hear that it should begin no more calls.
	leaveTimeout = 5 * time.Second
	// ageSpread is by how much of it the age of a connection varies, so that clients which came together do not leave together.
	ageSpread = 0.1
)

func keepaliveDefaults(k keepalive.ServerParameters, e keepalive.EnforcementPolicy) (keepalive.ServerParameters, keepalive.EnforcementPolicy) {
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&k.MaxConnectionIdle, forever},
		{&k.MaxConnectionAge, forever},
		{&k.MaxConnectionAgeGrace, forever},
		{&k.Time, defaultPingTime},
		{&k.Timeout, defaultPingTimeout},
		{&e.MinTime, defaultMinTime},
	} {
		if *d.value <= 0 {
			*d.value = d.otherwise
		}
	}
	k.Time = max(k.Time, time.Second)
	return k, e
}

// leavePing is sent behind the news that no more calls should be begun, and so answered when these have been heard.
var leavePing = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g'}

// keepaliver ends connections that are idle, old or dead, and those whose clients ask too often whether the server is alive. Except for
// lastHeard, the connection's mutex guards it.
type keepaliver struct {
	lastHeard atomic.Int64 // nanoseconds since born: the time of day may be set back
	born      time.Time    // never changed

	timer     *time.Timer
	wakes     time.Time // when the timer fires
	stopped   bool
	maxAge    time.Duration
	idleSince time.Time // zero while there are calls
	pinged    time.Time // zero: no ping waits for its answer
	aged      time.Time // when the connection was told to end for its age
	left      time.Time // when it was told to end, for whatever reason

	lastPing        time.Time // the client's
	strikes         int
	strikesForgiven bool // something was answered since
}

func (k *keepaliver) heard() { k.lastHeard.Store(int64(time.Since(k.born))) }

func (k *keepaliver) stop() {
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// begins notes the end of the handshake.
func (c *conn) begins() {
	k := &c.keepalive
	k.heard()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = true
	now := time.Now()
	k.idleSince = now
	k.maxAge = c.server.cfg.Keepalive.MaxConnectionAge
	if k.maxAge < forever {
		k.maxAge = time.Duration(float64(k.maxAge) * (1 + ageSpread*(2*rand.Float64()-1)))
	}
	next := c.tick(now)
	k.wakes = now.Add(next)
	k.timer = time.AfterFunc(next, c.wake)
}

// wakeBy sees to it that the connection is looked after at a time at the latest. Calls come one after the other, and with the same timeout
// their deadlines do: then all but one of many leave the timer as it is. The mutex is held.
func (c *conn) wakeBy(at time.Time) {
	if k := &c.keepalive; at.Before(k.wakes) {
		k.wakes = at
		k.timer.Reset(time.Until(at))
	}
}

// wake looks after the connection and sets the time at which to do so again.
func (c *conn) wake() {
	c.mu.Lock()
	if k := &c.keepalive; !k.stopped {
		now := time.Now()
		next := c.tick(now)
		k.wakes = now.Add(next)
		k.timer.Reset(next)
	}
	c.mu.Unlock()
	c.flush()
}

// tick does what is due, and returns how long nothing will be. The mutex is held.
func (c *conn) tick(now time.Time) time.Duration {
	k, cfg := &c.keepalive, c.server.cfg.Keepalive
	next := forever
	// due reports whether a time has come, and if not, sees to it that it will be noticed.
	due := func(since time.Time, after time.Duration) bool {
		if left := after - now.Sub(since); left > 0 {
			next = min(next, left)
			return false
		}
		return true
	}
	if !k.idleSince.IsZero() && cfg.MaxConnectionIdle < forever && due(k.idleSince, cfg.MaxConnectionIdle) {
		c.startDraining("max_idle")
	}
	if k.maxAge < forever && due(k.born, k.maxAge) {
		if k.aged.IsZero() {
			k.aged = now
			c.startDraining("max_age")
		}
		if cfg.MaxConnectionAgeGrace < forever && due(k.aged, cfg.MaxConnectionAgeGrace) {
			_ = c.raw.Close()
		}
	}
	if c.leaving && !c.draining && due(k.left, leaveTimeout) {
		c.stopBeginning()
	}
	heard := k.born.Add(time.Duration(k.lastHeard.Load()))
	if !heard.Before(k.pinged) {
		k.pinged = time.Time{}
	}
	if k.pinged.IsZero() && due(heard, cfg.Time) {
		k.pinged = now
		c.output.pending = appendPing(c.output.pending, 0, [8]byte{})
	}
	if !k.pinged.IsZero() && due(k.pinged, cfg.Timeout) {
		_ = c.raw.Close()
	}
	if c.server.cfg.Budget.Bounded() {
		c.refuseSlow(now)
		next = min(next, bufpool.SlowReader)
	}
	next = min(next, c.refuseLate(now))
	// While there are calls, nothing says when the connection becomes idle.
	if cfg.MaxConnectionIdle < forever {
		next = min(next, cfg.MaxConnectionIdle)
	}
	return max(next, time.Millisecond)
}

// ping answers a client that asks whether the server is alive, or ends its connection when it asks too often.
func (c *conn) ping(f *http2.PingFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		if c.leaving && f.Data == leavePing {
			c.stopBeginning()
		}
		return nil
	}
	c.output.pending = appendPing(c.output.pending, http2.FlagPingAck, f.Data)
	k, now := &c.keepalive, time.Now()
	least := c.server.cfg.Enforcement.MinTime
	if len(c.streams) == 0 && !c.server.cfg.Enforcement.PermitWithoutStream {
		least = pingWithoutCalls
	}
	switch {
	case k.strikesForgiven:
		k.strikesForgiven, k.strikes, k.lastPing = false, 0, time.Time{}
		return nil
	case now.Sub(k.lastPing) < least:
		k.strikes++
	}
	k.lastPing = now
	if k.strikes > maxPingStrikes {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return nil
}
