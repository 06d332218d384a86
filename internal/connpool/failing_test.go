package connpool

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

var errUnavailable = status.Error(codes.Unavailable, "")

// failOn makes every call on one sub-connection fail, until it gets none any more or n calls have been made.
func failOn(t testing.TB, client *fakeClient, bad *fakeSub, n int) (failed int) {
	t.Helper()
	for range n {
		c := client.pick(t)
		if c.sub == bad {
			c.end(errUnavailable)
			failed++
		} else {
			c.end(nil)
		}
		synctest.Wait()
	}
	return failed
}

func TestAConnectionThatFailsCallsIsEjectedAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, func(c *Config) { c.MinConnections = 4 }, "a:1")
		synctest.Wait()
		bad := client.live()[0]
		assert.Equal(t, 5, failOn(t, client, bad, 100), "the fifth failure in a row is the last")
		assert.True(t, bad.isShut())
		require.Len(t, client.live(), 4)
		replacement := client.live()[3]

		used := func() bool {
			for range 100 {
				c := client.pick(t)
				c.end(nil)
				if c.sub == replacement {
					return true
				}
			}
			return false
		}
		s := p.Stats()
		assert.Equal(t, 3, s.Ready)
		assert.Equal(t, 1, s.Ejected)
		assert.EqualValues(t, 1, s.Ejections)
		time.Sleep(29 * time.Second)
		assert.False(t, used(), "held back for the base time")
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, used())
		assert.Equal(t, 4, p.Stats().Ready)
	})
}

func TestRepeatedEjectionsHoldBackForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, func(c *Config) { c.MinConnections = 2 }, "a:1", "b:1")
		synctest.Wait()
		var times []time.Duration
		for range 6 {
			var bad *fakeSub
			for _, s := range client.live() {
				if s.addr == "b:1" {
					bad = s // the last one, which is the replacement
				}
			}
			failOn(t, client, bad, 100)
			start := time.Now()
			for p.Stats().Ejected > 0 {
				time.Sleep(time.Second)
			}
			times = append(times, time.Since(start))
			synctest.Wait()
		}
		assert.Equal(t, []time.Duration{30 * time.Second, 60 * time.Second, 120 * time.Second, 240 * time.Second, 300 * time.Second, 300 * time.Second}, times)
	})
}

func TestAnAnswerEndsTheRowOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, func(c *Config) { c.MinConnections = 2 }, "a:1")
		synctest.Wait()
		for range 10 {
			for _, err := range []error{errUnavailable, errUnavailable, errUnavailable, status.Error(codes.InvalidArgument, "")} {
				for _, c := range hold(t, client, 2) {
					c.end(err)
				}
			}
		}
		for range 20 {
			client.pick(t).end(status.Error(codes.Canceled, ""))
		}
		synctest.Wait()
		assert.Zero(t, p.Stats().Ejections)
	})
}

func TestABackendThatFailsEverywhereKeepsHalfOfItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, func(c *Config) { c.MinConnections = 4 }, "a:1")
		synctest.Wait()
		for range 200 {
			client.pick(t).end(errUnavailable)
			synctest.Wait()
		}
		assert.Equal(t, 2, p.Stats().Ejected)
		assert.EqualValues(t, 2, p.Stats().Ejections)
		// The other two had their connection replaced once, and not again within the base time.
		assert.Len(t, client.all(), 8)
	})
}

func TestTheOnlyConnectionIsReplacedOncePerBaseTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, nil, "a:1")
		synctest.Wait()
		fail := func() {
			for range 50 {
				client.pick(t).end(errUnavailable)
				synctest.Wait()
			}
		}
		fail()
		assert.Len(t, client.all(), 2)
		time.Sleep(30 * time.Second)
		fail()
		assert.Len(t, client.all(), 3)
		assert.Zero(t, p.Stats().Ejections)
	})
}

func serving(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
	return healthpb.HealthCheckResponse_SERVING, nil
}

func blackHole(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
	<-ctx.Done()
	return 0, status.FromContextError(ctx.Err()).Err()
}

func (s *fakeSub) setHealth(h func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = h
}

func withHealth(c *Config) {
	c.HealthCheck = DefaultConfig().HealthCheck
	c.MinConnections = 3
}

func TestABlackHoleIsFoundWithinOneIntervalAndReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, withHealth, "a:1")
		synctest.Wait()
		bad := client.live()[1]
		bad.setHealth(blackHole)
		time.Sleep(12*time.Second + time.Millisecond)
		synctest.Wait()
		assert.True(t, bad.isShut())
		assert.Len(t, client.live(), 3)
		assert.EqualValues(t, 1, p.Stats().FailedChecks)
		// The replacement is asked before it gets calls, so it serves already.
		assert.Equal(t, 3, p.Stats().Ready)
	})
}

func TestAServerThatSaysItDoesNotServeGetsNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, withHealth, "a:1")
		synctest.Wait()
		bad := client.live()[0]
		for _, answer := range []func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error){
			func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
				return healthpb.HealthCheckResponse_NOT_SERVING, nil
			},
			func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
				return 0, status.Error(codes.NotFound, "")
			},
		} {
			bad.setHealth(answer)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			assert.Equal(t, 1, p.Stats().Unhealthy)
			assert.False(t, bad.isShut(), "the connection itself is good")
			assert.Zero(t, failOn(t, client, bad, 50))
			bad.setHealth(serving)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			assert.Zero(t, p.Stats().Unhealthy)
		}
	})
}

// A proxy whose backend is away answers UNAVAILABLE at once. A new connection to it would be answered the same, and the next one too.
func TestAConnectionThatAnswersUnavailableIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{health: func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) { return 0, errUnavailable }}
		p, _ := startPool(t, client, withHealth, "a:1")
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		assert.Len(t, client.all(), 3, "no connection is replaced")
		assert.EqualValues(t, 18, p.Stats().FailedChecks, "each is asked once an interval")
		assert.Equal(t, 3, p.Stats().Unhealthy)
		client.live()[0].setHealth(serving)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, p.Stats().Ready)
	})
}

// A backend that is silent for long is not hit by a handshake for each time-out.
func TestASilentBackendIsConnectedToAnewOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{health: blackHole}
		startPool(t, client, func(c *Config) { withHealth(c); c.MinConnections = 1 }, "a:1")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		replaced := len(client.all()) - 1
		assert.LessOrEqual(t, replaced, 60)
		assert.GreaterOrEqual(t, replaced, 40, "it is still looked after")
	})
}

func TestAServerWithoutHealthServiceIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, withHealth, "a:1")
		synctest.Wait()
		client.live()[0].setHealth(func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			return 0, status.Error(codes.Unauthenticated, "")
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, 3, p.Stats().Ready)
		assert.Equal(t, 6, client.live()[1].checks)
	})
}

func TestWhenNothingIsHealthyCallsAreTriedAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, withHealth, "a:1")
		synctest.Wait()
		for _, s := range client.live() {
			s.setHealth(func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
				return healthpb.HealthCheckResponse_NOT_SERVING, nil
			})
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		client.pick(t).end(nil)
	})
}

func TestClosingEndsAHealthCheckUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		_, b := startPool(t, client, withHealth, "a:1")
		synctest.Wait()
		for _, s := range client.live() {
			s.setHealth(blackHole)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		start := time.Now()
		b.Close()
		assert.Zero(t, time.Since(start))
	})
}

// Where a replacement is silent too, for a moment of too much work, the black hole before it must not be forgotten: the calls on it would
// wait until their time-out.
func TestABlackHoleIsAbandonedThoughItsReplacementWasSilentToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		_, b := startPool(t, client, withHealth, "a:1")
		synctest.Wait()
		slot := b.(*poolBalancer).slots[1]
		hole, far := swallowing(t, slot.current)
		defer far.Close()
		hole.inFlight.Add(1) // a call that will not be answered
		hole.sub.(*fakeSub).setHealth(blackHole)
		client.mu.Lock()
		client.health = blackHole
		client.mu.Unlock()
		time.Sleep(12*time.Second + time.Millisecond)
		synctest.Wait()
		second := slot.current
		require.NotSame(t, hole, second)
		client.mu.Lock()
		client.health = nil
		client.mu.Unlock()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		require.NotSame(t, second, slot.current, "the replacement was silent and is replaced")
		_ = far.SetWriteDeadline(time.Now().Add(time.Second)) // an error where it is closed, as it should be
		_, err := far.Write([]byte("x"))
		require.ErrorIs(t, err, io.ErrClosedPipe, "the first one is closed")
		assert.Empty(t, slot.silent)
	})
}

// swallowing gives a fake connection a network connection, of which the far end is returned.
func swallowing(t *testing.T, c *conn) (*conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c.socket = &socket{creds: insecure.NewCredentials()}
	_, _, err := c.socket.TransportCredentials().ClientHandshake(context.Background(), "backend", near)
	require.NoError(t, err)
	return c, far
}
