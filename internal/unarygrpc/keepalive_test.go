package unarygrpc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/keepalive"
)

// inVirtualTime runs a test with a connection whose clock stands still while somebody works.
func inVirtualTime(t *testing.T, cfg Config, handle handler, test func(t *testing.T, c *client)) {
	synctest.Test(t, func(t *testing.T) {
		s := New(withMethod(t, cfg, handle))
		c := pipe(t, s)
		c.shake()
		synctest.Wait()
		test(t, c)
		s.Stop()
		synctest.Wait()
	})
}

func TestAnIdleConnectionEnds(t *testing.T) {
	cfg := Config{Keepalive: keepalive.ServerParameters{MaxConnectionIdle: time.Minute}}
	inVirtualTime(t, cfg, accept, func(t *testing.T, c *client) {
		time.Sleep(59 * time.Second)
		c.call(1, "x")
		c.answered(1)
		c.open(3) // a call under way, and be it half a message, is not idle
		time.Sleep(10 * time.Minute)
		c.sent(c.framer.WriteData(3, true, message("x")))
		c.answered(3)
		start := time.Now()
		e, _ := c.next(0, http2.FrameGoAway)
		assert.Equal(t, "max_idle", string(e.data))
		assert.Equal(t, http2.ErrCodeNo, e.code)
		assert.GreaterOrEqual(t, time.Since(start), time.Minute)
		assert.LessOrEqual(t, time.Since(start), 2*time.Minute)
		assert.Len(t, c.ends(), 1)
	})
}

func TestAnOldConnectionEnds(t *testing.T) {
	cfg := Config{Keepalive: keepalive.ServerParameters{MaxConnectionAge: time.Hour, MaxConnectionAgeGrace: time.Minute}}
	var ages []time.Duration
	for range 5 {
		inVirtualTime(t, cfg, accept, func(t *testing.T, c *client) {
			start := time.Now()
			e, _ := c.next(0, http2.FrameGoAway)
			assert.Equal(t, "max_age", string(e.data))
			ages = append(ages, time.Since(start))
			assert.InDelta(t, time.Hour, time.Since(start), ageSpread*float64(time.Hour))
			assert.Len(t, c.ends(), 1)
		})
	}
	assert.NotEqual(t, ages[0], ages[1], "connections that came together do not end together")
}

func TestCallsOnAnOldConnectionHaveAGracePeriod(t *testing.T) {
	cfg := Config{Keepalive: keepalive.ServerParameters{MaxConnectionAge: time.Hour, MaxConnectionAgeGrace: time.Minute}}
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		s := New(withMethod(t, cfg, g.handle))
		c := pipe(t, s)
		c.shake()
		c.call(1, "x")
		handling := <-g.entered
		_, _ = c.next(0, http2.FrameGoAway)
		start := time.Now()
		<-handling.Done()
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Len(t, c.ends(), 1, "the one that names the last call")
		s.Stop()
		synctest.Wait()
	})
}

func TestADeadPeerIsLeft(t *testing.T) {
	cfg := Config{Keepalive: keepalive.ServerParameters{Time: time.Minute, Timeout: 10 * time.Second}}
	inVirtualTime(t, cfg, accept, func(t *testing.T, c *client) {
		time.Sleep(50 * time.Second)
		c.call(1, "x") // whatever is heard counts
		c.answered(1)
		start := time.Now()
		c.silent = true
		for i := range 3 {
			e, more := c.next(0, http2.FramePing)
			require.True(t, more)
			assert.False(t, e.ack)
			assert.Equal(t, time.Duration(i+1)*time.Minute, time.Since(start))
			c.sent(c.framer.WritePing(true, [8]byte(e.data)))
			synctest.Wait()
		}
		_, more := c.next(0, http2.FramePing)
		require.True(t, more)
		assert.Empty(t, c.ends())
		assert.Equal(t, 4*time.Minute+10*time.Second, time.Since(start))
	})
}

func TestPingsAreAnsweredUnlessThereAreTooMany(t *testing.T) {
	ping := func(c *client) bool {
		if c.framer.WritePing(false, [8]byte{'?'}) != nil {
			return false
		}
		for {
			e, more := c.next(0, http2.FramePing)
			if !more || e.ack {
				return more
			}
		}
	}
	for name, row := range map[string]struct {
		policy keepalive.EnforcementPolicy
		calls  bool // one is under way
		every  time.Duration
		good   bool
	}{
		"with a call, rarely":            {keepalive.EnforcementPolicy{MinTime: time.Minute}, true, time.Minute, true},
		"with a call, often":             {keepalive.EnforcementPolicy{MinTime: time.Minute}, true, 59 * time.Second, false},
		"with a call, default":           {keepalive.EnforcementPolicy{}, true, defaultMinTime, true},
		"with a call, default, often":    {keepalive.EnforcementPolicy{}, true, defaultMinTime - 1, false},
		"without calls, rarely":          {keepalive.EnforcementPolicy{MinTime: time.Minute}, false, 2 * time.Hour, true},
		"without calls, often":           {keepalive.EnforcementPolicy{MinTime: time.Minute}, false, time.Hour, false},
		"without calls, permitted":       {keepalive.EnforcementPolicy{MinTime: time.Minute, PermitWithoutStream: true}, false, time.Minute, true},
		"without calls, permitted often": {keepalive.EnforcementPolicy{MinTime: time.Minute, PermitWithoutStream: true}, false, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, Config{Enforcement: row.policy}, accept, func(t *testing.T, c *client) {
				if row.calls {
					c.open(1)
				}
				n := 0
				for ; n < 10 && ping(c); n++ {
					time.Sleep(row.every)
				}
				if row.good {
					assert.Equal(t, 10, n)
					return
				}
				assert.Equal(t, 2+maxPingStrikes, n)
			})
		})
	}
}

func TestTooManyPings(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	c := dial(t, address)
	for range 2 + maxPingStrikes {
		c.sent(c.framer.WritePing(false, [8]byte{}))
	}
	goAways := c.ends()
	require.Len(t, goAways, 1)
	assert.Equal(t, http2.ErrCodeEnhanceYourCalm, goAways[0].code)
	assert.Equal(t, "too_many_pings", string(goAways[0].data))

	// grpc-go's clients ask on each answer how fast the connection is.
	c = dial(t, address)
	for id := uint32(1); id < 100; id += 2 {
		c.call(id, "x")
		c.answered(id)
		c.sent(c.framer.WritePing(false, [8]byte{}))
	}
	c.call(101, "x")
	c.answered(101)
}
