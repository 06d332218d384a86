package connpool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

func TestConnectionsFarAboveTheOthersArePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.MinConnections = 3 }, "a:1")
		synctest.Wait()
		load := map[*fakeSub]int{}
		var calls []call
		for range 9 {
			c := client.pick(t)
			load[c.sub]++
			calls = append(calls, c)
		}
		require.Len(t, load, 3)
		for _, n := range load {
			assert.Equal(t, 3, n)
		}
		// All calls end on one connection: the next goes there.
		freed := calls[0].sub
		for _, c := range calls {
			if c.sub == freed {
				c.end(nil)
			}
		}
		assert.Same(t, freed, client.pick(t).sub)
	})
}

func TestConnectionsAreUsedEvenlyAtLowAndAtHighLoad(t *testing.T) {
	for name, inFlight := range map[string]int{"one call at a time": 1, "37 at a time": 37, "500 at a time": 500} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &fakeClient{}
				startPool(t, client, func(c *Config) { c.MinConnections, c.MaxConnections = 8, 8 }, "a:1")
				synctest.Wait()
				picks := map[*fakeSub]int{}
				queue := make([]call, 0, inFlight)
				const total = 16000
				for range total {
					if len(queue) == inFlight {
						queue[0].end(nil)
						queue = queue[1:]
					}
					c := client.pick(t)
					picks[c.sub]++
					queue = append(queue, c)
				}
				require.Len(t, picks, 8)
				for _, n := range picks {
					assert.InEpsilon(t, total/8, n, 0.1)
				}
			})
		})
	}
}

// Four connections with sixteen calls each; one delivers all its answers together. By the fewest in flight alone it would get all
// sixteen calls that follow, and again after its next burst.
func TestAnswersInBurstsDoNotDrawCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.MinConnections, c.MaxConnections = 4, 4 }, "a:1")
		synctest.Wait()
		calls := hold(t, client, 64)
		burst := calls[0].sub
		for _, c := range calls {
			if c.sub == burst {
				c.end(nil)
			}
		}
		picks := map[*fakeSub]int{}
		for range 16 {
			picks[client.pick(t).sub]++
		}
		require.Len(t, picks, 4)
		for _, n := range picks {
			assert.InDelta(t, 4, n, 2)
		}
	})
}

// One of several connections takes ten times as long as the others, or never answers. 64 callers may leave half as many calls again on it as
// on each of the others, and the others carry as much as each other.
func TestASlowConnectionGetsFewCallsAndTheOthersAsManyEach(t *testing.T) {
	for _, connections := range []int{2, 3, 4, 8} {
		for name, slowness := range map[string]time.Duration{"slow": 10 * time.Millisecond, "silent": time.Hour} {
			t.Run(fmt.Sprint(connections, " ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := &fakeClient{}
					startPool(t, client, func(c *Config) { c.MinConnections, c.MaxConnections = connections, connections }, "a:1")
					synctest.Wait()
					slow := client.live()[1]
					picks, mostOnSlow := callWithOneSlow(t, client, slow, slowness)
					const callers = 64
					share := 1.5 * callers / (float64(connections) + 0.5)
					// What is picked at the same moment is not seen.
					assert.Less(t, float64(mostOnSlow), share+callers/8)
					quick := 0
					for sub, n := range picks {
						if sub != slow {
							quick += n
						}
					}
					others := connections - 1
					for sub, n := range picks {
						if sub != slow {
							assert.InEpsilon(t, quick/others, n, 0.1)
						}
					}
					assert.Less(t, 4*picks[slow], quick/others, "the slow one got %d, each of the others %d", picks[slow], quick/others)
				})
			})
		}
	}
}

// callWithOneSlow has 64 callers call for a second, and returns how often each connection was picked and how many calls the slow one had at most.
func callWithOneSlow(t *testing.T, client *fakeClient, slow *fakeSub, slowness time.Duration) (picks map[*fakeSub]int, mostOnSlow int) {
	var mu sync.Mutex
	picks = map[*fakeSub]int{}
	onSlow := 0
	var callers sync.WaitGroup
	start := time.Now()
	for range 64 {
		callers.Go(func() {
			for time.Since(start) < time.Second {
				c := client.pick(t)
				took := time.Millisecond
				mu.Lock()
				picks[c.sub]++
				if c.sub == slow {
					took = slowness
					onSlow++
					mostOnSlow = max(mostOnSlow, onSlow)
				}
				mu.Unlock()
				time.Sleep(took)
				mu.Lock()
				if c.sub == slow {
					onSlow--
				}
				mu.Unlock()
				c.end(nil)
			}
		})
	}
	callers.Wait()
	return picks, mostOnSlow
}

// Two connections, of which one does not answer: ten calls in flight need a third, though the one that answers has few.
func TestASilentConnectionDoesNotKeepThePoolFromGrowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.MinConnections, c.TargetInFlightPerConnection = 2, 4 }, "a:1")
		synctest.Wait()
		silent := client.live()[1]
		start := time.Now()
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				for time.Since(start) < time.Second && len(client.live()) == 2 {
					c := client.pick(t)
					took := time.Millisecond
					if c.sub == silent {
						took = time.Second
					}
					time.Sleep(took)
					c.end(nil)
				}
			})
		}
		callers.Wait()
		assert.Greater(t, len(client.live()), 2)
	})
}

func TestThePoolReportsItsConnectivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{manual: true}
		_, b := startPool(t, client, func(c *Config) { c.MinConnections = 2 }, "a:1")
		synctest.Wait()
		first, second := client.live()[0], client.live()[1]
		assert.Equal(t, connectivity.Connecting, client.currentState().ConnectivityState)
		_, err := client.currentState().Picker.Pick(balancer.PickInfo{})
		require.ErrorIs(t, err, balancer.ErrNoSubConnAvailable)

		first.become(connectivity.TransientFailure)
		assert.Equal(t, connectivity.Connecting, client.currentState().ConnectivityState)
		second.become(connectivity.TransientFailure)
		assert.Equal(t, connectivity.TransientFailure, client.currentState().ConnectivityState)
		_, err = client.currentState().Picker.Pick(balancer.PickInfo{})
		require.EqualError(t, err, "connection to a:1 refused")

		// Between attempts callers hear of the failure instead of waiting.
		first.become(connectivity.Idle)
		first.become(connectivity.Connecting)
		assert.Equal(t, connectivity.TransientFailure, client.currentState().ConnectivityState)
		assert.Equal(t, 2, first.connects, "a connection that ends is opened again")
		assert.Positive(t, client.resolves)

		first.become(connectivity.Ready)
		assert.Equal(t, connectivity.Ready, client.currentState().ConnectivityState)
		assert.Same(t, first, client.pick(t).sub)
		b.ExitIdle()
		//nolint:staticcheck // part of the interface, and must do no harm
		b.UpdateSubConnState(first, balancer.SubConnState{})
	})
}

func TestAddressesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		_, b := startPool(t, client, func(c *Config) { c.MinConnections = 2 }, "a:1", "b:1")
		synctest.Wait()
		count := func() map[string]int {
			m := map[string]int{}
			for _, s := range client.live() {
				m[s.addr]++
			}
			return m
		}
		assert.Equal(t, map[string]int{"a:1": 2, "b:1": 2}, count())
		require.NoError(t, b.UpdateClientConnState(endpoints("b:1", "c:1")))
		synctest.Wait()
		assert.Equal(t, map[string]int{"b:1": 2, "c:1": 2}, count())

		require.ErrorIs(t, b.UpdateClientConnState(endpoints()), balancer.ErrBadResolverState)
		b.ResolverError(errors.New("no such host"))
		assert.Equal(t, connectivity.Ready, client.currentState().ConnectivityState, "what there is goes on")
	})
}

func TestAPoolSpreadsOverNewAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		deaf string
		want []int // in order: which address has one more is chance
	}{
		"that can be reached":     {want: []int{2, 2, 3, 3}},
		"but not over a deaf one": {deaf: "c:1", want: []int{1, 3, 3, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &fakeClient{deaf: c.deaf}
				_, b := startPool(t, client, func(c *Config) { c.MaxConnections = 10 }, "a:1")
				synctest.Wait()
				hold(t, client, 100)
				time.Sleep(20 * growthWindow)
				synctest.Wait()
				require.Len(t, client.live(), 10)
				require.NoError(t, b.UpdateClientConnState(endpoints("a:1", "b:1", "c:1", "d:1")))
				synctest.Wait()
				byAddress := map[string]int{}
				for _, s := range client.live() {
					byAddress[s.addr]++
				}
				assert.Equal(t, c.want, slices.Sorted(maps.Values(byAddress)))
				if c.deaf != "" {
					assert.Equal(t, 1, byAddress[c.deaf])
				}
			})
		})
	}
}

func TestANameThatDoesNotResolveIsReported(t *testing.T) {
	client := &fakeClient{}
	b := newPoolBalancer(client, nil)
	b.ResolverError(errors.New("no such host"))
	assert.Equal(t, connectivity.TransientFailure, client.currentState().ConnectivityState)
	_, err := client.currentState().Picker.Pick(balancer.PickInfo{})
	require.EqualError(t, err, "no such host")
	b.Close()
	b.Close()
	b.ResolverError(errors.New("after the end"))
	require.NoError(t, b.UpdateClientConnState(endpoints("a:1")))
	assert.Empty(t, client.live())
}

func TestMoreAddressesThanConnectionsGetOneEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		startPool(t, client, func(c *Config) { c.MinConnections, c.MaxConnections = 2, 3 }, "a:1", "b:1", "c:1", "d:1")
		synctest.Wait()
		assert.Len(t, client.live(), 4)
	})
}

func TestAClientThatKnowsTheNameOnlyGetsTheDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &fakeClient{}
		b := builder{}.Build(client, balancer.BuildOptions{})
		state := endpoints("a:1")
		var err error
		state.BalancerConfig, err = builder{}.ParseConfig(json.RawMessage(`{}`))
		require.NoError(t, err)
		require.NoError(t, b.UpdateClientConnState(state))
		synctest.Wait()
		assert.Len(t, client.live(), DefaultConfig().MinConnections)
		client.pick(t).end(nil)
		b.Close()
		assert.Empty(t, client.live())
	})
	_, err := builder{}.ParseConfig(json.RawMessage(`[`))
	require.Error(t, err)
}

func TestEndpointsAreToldApartByTheirAddresses(t *testing.T) {
	a := resolver.Endpoint{Addresses: []resolver.Address{{Addr: "a:1"}, {Addr: "a:2"}}}
	b := resolver.Endpoint{Addresses: []resolver.Address{{Addr: "a:1"}}}
	assert.True(t, sameEndpoint(a, a))
	assert.False(t, sameEndpoint(a, b))
}
