package connpool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// hold starts calls until n are in flight.
func hold(t testing.TB, client *fakeClient, n int) []call {
	t.Helper()
	var calls []call
	for range n {
		calls = append(calls, client.pick(t))
	}
	return calls
}

func TestThePoolGrowsUnderSustainedLoadAndShrinksWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		p, _ := startPool(t, client, func(c *Config) { c.IdleTimeout = time.Minute }, "a:1")
		synctest.Wait()
		calls := hold(t, client, 200)
		assert.Len(t, client.live(), 1, "not before a window has passed")
		time.Sleep(20 * growthWindow)
		synctest.Wait()
		assert.Len(t, client.live(), 50, "as many as 200 calls at 4 each need")
		for _, c := range calls {
			c.end(nil)
		}
		time.Sleep(30 * time.Second)
		assert.Len(t, client.live(), 50)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Len(t, client.live(), 1)
		s := p.Stats()
		assert.Equal(t, 1, s.Ready)
		assert.EqualValues(t, 50, s.Opened)
		assert.EqualValues(t, 49, s.Closed)
		assert.EqualValues(t, 200, s.Picks)
		assert.Zero(t, s.InFlight)
	})
}

func TestThePoolNeverExceedsItsMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.MaxConnections = 7 }, "a:1", "b:1")
		synctest.Wait()
		calls := hold(t, client, 500)
		time.Sleep(time.Minute)
		byAddress := map[string]int{}
		for _, s := range client.live() {
			byAddress[s.addr]++
		}
		assert.Equal(t, 7, byAddress["a:1"]+byAddress["b:1"])
		assert.InDelta(t, 3.5, byAddress["a:1"], 0.5, "spread over the addresses")
		for _, c := range calls {
			c.end(nil)
		}
	})
}

func TestABurstDoesNotOpenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, nil, "a:1")
		synctest.Wait()
		for range 10 {
			for _, c := range hold(t, client, 5) { // one of five finds the connection at its target
				c.end(nil)
			}
			time.Sleep(growthWindow)
		}
		assert.Len(t, client.live(), 1)
	})
}

func TestThePoolDoesNotGrowWhileItsNewConnectionsAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, nil, "a:1")
		synctest.Wait()
		client.mu.Lock()
		client.manual = true
		client.mu.Unlock()
		hold(t, client, 100)
		time.Sleep(10 * growthWindow)
		synctest.Wait()
		assert.Len(t, client.live(), 2)
		for _, s := range client.live()[1:] {
			s.become(connectivity.Ready)
		}
		time.Sleep(growthWindow)
		synctest.Wait()
		assert.Len(t, client.live(), 4)
	})
}

// An address that does not answer is connecting for 20 s at a time. It neither holds up the growth of the others nor takes a part in it.
func TestThePoolGrowsOnTheAddressesThatAnswer(t *testing.T) {
	for name, spoil := range map[string]func(dead *fakeSub){
		"connecting": func(*fakeSub) {},
		"failing":    func(dead *fakeSub) { dead.become(connectivity.TransientFailure) },
		"connecting again": func(dead *fakeSub) {
			dead.become(connectivity.Ready)
			dead.become(connectivity.Idle)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &fakeClient{manual: true}
				startPool(t, client, nil, "a:1", "b:1")
				synctest.Wait()
				client.mu.Lock()
				client.manual = false
				client.mu.Unlock()
				alive, dead := client.live()[0], client.live()[1]
				alive.become(connectivity.Ready)
				client.mu.Lock()
				client.deaf = dead.addr
				client.mu.Unlock()
				spoil(dead)
				hold(t, client, 40)
				time.Sleep(20 * growthWindow)
				synctest.Wait()
				byAddress := map[string]int{}
				for _, s := range client.live() {
					byAddress[s.addr]++
				}
				assert.Equal(t, map[string]int{"a:1": 9, "b:1": 1}, byAddress, "ten for 40 calls")
			})
		})
	}
}

// An address whose connections are silent is no place for more of them, while another answers.
func TestThePoolGrowsWhereConnectionsAreHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { withHealth(c); c.MinConnections = 1 }, "a:1", "b:1")
		synctest.Wait()
		client.live()[1].setHealth(func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			return healthpb.HealthCheckResponse_NOT_SERVING, nil
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		hold(t, client, 40)
		time.Sleep(20 * growthWindow)
		synctest.Wait()
		assert.Len(t, client.live(), 10)
		for _, s := range client.live()[2:] {
			assert.Equal(t, "a:1", s.addr)
		}
	})
}

func TestAPoolWithoutConnectionsDoesNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		_, b := startPool(t, client, nil, "a:1")
		synctest.Wait()
		hold(t, client, 40)
		client.live()[0].become(connectivity.TransientFailure)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, client.live(), 1)
		assert.Zero(t, b.(*poolBalancer).tick(time.Now()), "nothing is due")
	})
}

func TestShrinkingTakesWhatIsNotReadyFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.IdleTimeout = time.Minute }, "a:1")
		synctest.Wait()
		calls := hold(t, client, 8)
		time.Sleep(5 * growthWindow)
		synctest.Wait()
		kept := client.live()[0]
		for _, s := range client.live()[1:] {
			s.become(connectivity.TransientFailure)
		}
		for _, c := range calls {
			c.end(nil)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		assert.Equal(t, []*fakeSub{kept}, client.live())
	})
}

func TestOldConnectionsAreReplacedWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.MaxConnectionAge = time.Hour }, "a:1")
		synctest.Wait()
		old := client.live()[0]
		client.mu.Lock()
		client.manual = true
		client.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, client.live(), 2)
		assert.Equal(t, 1, client.resolves, "the addresses are looked up too, once for each replacement")
		assert.Same(t, old, client.pick(t).sub, "until the new one is there")
		client.live()[1].become(connectivity.Ready)
		assert.True(t, old.isShut())
		assert.NotSame(t, old, client.pick(t).sub)
	})
}

func TestAPoolThatIsClosingOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, nil, "a:1")
		synctest.Wait()
		client.mu.Lock()
		client.refuse = true
		client.mu.Unlock()
		hold(t, client, 100)
		time.Sleep(time.Second)
		assert.Len(t, client.live(), 1)
	})
}
