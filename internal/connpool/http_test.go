package connpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newHTTPPool(t testing.TB, edit func(*Config)) (*HTTP, *atomic.Int32) {
	t.Helper()
	cfg := DefaultConfig()
	if edit != nil {
		edit(&cfg)
	}
	opened := &atomic.Int32{}
	p, err := NewHTTP(cfg, func() (*http.Client, error) {
		opened.Add(1)
		return &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}, nil
	})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, opened
}

func answered(major int) func(*http.Client) (int, error) {
	return func(*http.Client) (int, error) { return major, nil }
}

// hang makes n calls that last until release is closed.
func hang(p *HTTP, n int, release chan struct{}) *sync.WaitGroup {
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { _ = p.Do(func(*http.Client) (int, error) { <-release; return 2, nil }) })
	}
	return &calls
}

func TestAnHTTP2PoolGrowsAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newHTTPPool(t, func(c *Config) { c.MaxConnections, c.IdleTimeout = 10, time.Minute })
		require.NoError(t, p.Do(answered(2)))
		release := make(chan struct{})
		var all []*sync.WaitGroup
		for range 10 { // ten calls each window, none of which ends
			all = append(all, hang(p, 10, release))
			synctest.Wait()
			time.Sleep(growthWindow)
		}
		s := p.Stats()
		assert.Equal(t, 10, s.Ready)
		assert.EqualValues(t, 100, s.InFlight)
		close(release)
		for _, w := range all {
			w.Wait()
		}
		for range 3 {
			time.Sleep(time.Minute)
			require.NoError(t, p.Do(answered(2)))
		}
		s = p.Stats()
		assert.Equal(t, 1, s.Ready)
		assert.EqualValues(t, 9, s.Closed)
		assert.EqualValues(t, 104, s.Picks)
	})
}

func TestAnHTTP2PoolHasItsMinimumFromTheFirstAnswer(t *testing.T) {
	p, _ := newHTTPPool(t, func(c *Config) { c.MinConnections = 3 })
	require.NoError(t, p.Do(answered(1)))
	assert.Equal(t, 1, p.Stats().Ready)
	require.NoError(t, p.Do(answered(2)))
	assert.Equal(t, 3, p.Stats().Ready)
}

func TestAnHTTPMemberIsReplacedForItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, opened := newHTTPPool(t, func(c *Config) { c.MaxConnectionAge = time.Hour })
		first := (*p.members.Load())[0].client
		for range 54 { // a tenth less than the hour
			require.NoError(t, p.Do(func(c *http.Client) (int, error) { assert.Same(t, first, c); return 1, nil }))
			time.Sleep(time.Minute)
		}
		time.Sleep(6 * time.Minute)
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() {
				assert.NoError(t, p.Do(func(c *http.Client) (int, error) { assert.NotSame(t, first, c); return 1, nil }))
			})
		}
		calls.Wait()
		assert.EqualValues(t, 2, opened.Load())
		assert.Zero(t, p.Stats().Ejected)
		assert.EqualValues(t, 1, p.Stats().Closed)
	})
}

// idleClosed counts how often its idle connections were to be closed.
type idleClosed struct {
	http.RoundTripper
	times atomic.Int32
}

func (c *idleClosed) CloseIdleConnections() { c.times.Add(1) }

func TestTheLastRequestOfARetiredHTTPMemberClosesItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var transports []*idleClosed
		cfg := DefaultConfig()
		cfg.MaxConnectionAge = time.Hour
		p, err := NewHTTP(cfg, func() (*http.Client, error) {
			transports = append(transports, &idleClosed{})
			return &http.Client{Transport: transports[len(transports)-1]}, nil
		})
		require.NoError(t, err)
		release, other := make(chan struct{}), make(chan struct{})
		calls, others := hang(p, 1, release), hang(p, 1, other)
		synctest.Wait()
		time.Sleep(time.Hour)
		require.NoError(t, p.Do(answered(1)))
		require.Len(t, transports, 2)
		time.Sleep(time.Minute)
		retired := &transports[0].times
		before := retired.Load()
		close(other)
		others.Wait()
		assert.Equal(t, before, retired.Load(), "one request is still under way")
		close(release)
		calls.Wait()
		assert.Equal(t, before+1, retired.Load())
		time.Sleep(brokenOff)
		synctest.Wait()
		assert.Equal(t, before+2, retired.Load(), "a request that was broken off counts a moment longer")
		assert.Zero(t, transports[1].times.Load())
	})
}

func TestAnHTTP1PoolIsOneTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, opened := newHTTPPool(t, nil)
		require.NoError(t, p.Do(answered(1)))
		release := make(chan struct{})
		calls := hang(p, 100, release)
		time.Sleep(time.Second)
		close(release)
		calls.Wait()
		assert.EqualValues(t, 1, opened.Load())
	})
}

func TestAnHTTPMemberWithoutAnswersIsReplacedAndHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newHTTPPool(t, func(c *Config) { c.MaxConnections, c.IdleTimeout = 4, 0 })
		require.NoError(t, p.Do(answered(2)))
		release := make(chan struct{})
		var all []*sync.WaitGroup
		for range 5 {
			all = append(all, hang(p, 8, release))
			synctest.Wait()
			time.Sleep(growthWindow)
		}
		close(release)
		for _, w := range all {
			w.Wait()
		}
		require.Equal(t, 4, p.Stats().Ready)
		bad := (*p.members.Load())[2].client
		call := func() {
			_ = p.Do(func(c *http.Client) (int, error) {
				if c == bad {
					return 0, errors.New("no answer")
				}
				return 2, nil
			})
		}
		for range 100 {
			call()
		}
		s := p.Stats()
		assert.Equal(t, 3, s.Ready)
		assert.Equal(t, 1, s.Ejected)
		assert.EqualValues(t, 1, s.Ejections)
		time.Sleep(30 * time.Second)
		assert.Equal(t, 4, p.Stats().Ready)
	})
}

func TestTheOnlyHTTPMemberIsReplacedButUsed(t *testing.T) {
	p, opened := newHTTPPool(t, nil)
	for range 5 {
		require.Error(t, p.Do(func(*http.Client) (int, error) { return 0, errors.New("no answer") }))
	}
	assert.EqualValues(t, 2, opened.Load())
	assert.Equal(t, 1, p.Stats().Ready)
}

// Callers that give up say nothing: neither that the connection is broken nor that it is not.
func TestACancelledRequestLeavesTheRowOfFailures(t *testing.T) {
	p, opened := newHTTPPool(t, nil)
	ends := func(err error) func(*http.Client) (int, error) {
		return func(*http.Client) (int, error) { return 0, err }
	}
	cancelled := fmt.Errorf("failed: %w", context.Canceled)
	for range 10 {
		require.ErrorIs(t, p.Do(ends(cancelled)), context.Canceled)
	}
	assert.EqualValues(t, 1, opened.Load())
	for range 5 {
		require.Error(t, p.Do(ends(errors.New("no answer"))))
		require.Error(t, p.Do(ends(cancelled)))
	}
	assert.EqualValues(t, 2, opened.Load())
}

func TestAnHTTPPoolWhoseClientsCannotBeMade(t *testing.T) {
	_, err := NewHTTP(DefaultConfig(), func() (*http.Client, error) { return nil, errors.New("no certificate") })
	require.EqualError(t, err, "no certificate")
}

// Over HTTP/1.1 Go's transport takes the connection that was used last, so that it is even at high load only; at low load the others
// become idle, and end.
func TestRealHTTPConnectionsAreUsedEvenly(t *testing.T) {
	const connections = 4
	for name, c := range map[string]struct {
		http2          bool
		callers, calls int
		delay          time.Duration
	}{
		"HTTP/2, low, at once":       {true, 1, 800, 0},
		"HTTP/2, high, at once":      {true, 64, 8000, 0},
		"HTTP/2, high, after 5 ms":   {true, 32, 1600, 5 * time.Millisecond},
		"HTTP/1.1, high, after 2 ms": {false, 64, 1600, 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var carried tally
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				carried.add(r.RemoteAddr)
				time.Sleep(c.delay)
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			server.EnableHTTP2 = c.http2
			server.StartTLS()
			defer server.Close()
			cfg := DefaultConfig()
			cfg.MinConnections, cfg.MaxConnections = connections, connections
			p, err := NewHTTP(cfg, func() (*http.Client, error) {
				transport := server.Client().Transport.(*http.Transport).Clone()
				cfg.Tune(&transport.MaxConnsPerHost, &transport.MaxIdleConnsPerHost, &transport.MaxIdleConns, &transport.IdleConnTimeout)
				return &http.Client{Transport: transport}, nil
			})
			require.NoError(t, err)
			defer p.Close()
			call := func() {
				assert.NoError(t, p.Do(func(c *http.Client) (int, error) {
					resp, err := c.Get(server.URL)
					if err != nil {
						return 0, err
					}
					defer resp.Body.Close()
					_, err = io.Copy(io.Discard, resp.Body)
					return resp.ProtoMajor, err
				}))
			}
			call() // its answer tells which HTTP it is
			callAll(64, 640, call)
			carried.clear()
			callAll(c.callers, c.calls, call)
			carried.requireEven(t, connections)
		})
	}
}

func TestTuneSetsOnlyWhatIsNotSet(t *testing.T) {
	type bounds struct {
		maxConnsPerHost, maxIdleConnsPerHost, maxIdleConns int
		idleConnTimeout                                    time.Duration
	}
	unset := http.DefaultTransport.(*http.Transport)
	maxIdle, idleTimeout := unset.MaxIdleConns, unset.IdleConnTimeout
	for name, c := range map[string]struct{ before, after bounds }{
		"nothing":              {bounds{0, 0, maxIdle, idleTimeout}, bounds{200, 200, 200, 5 * time.Minute}},
		"connections":          {bounds{7, 3, maxIdle, idleTimeout}, bounds{7, 3, maxIdle, 5 * time.Minute}},
		"a shorter time-out":   {bounds{0, 0, maxIdle, 10 * time.Second}, bounds{200, 200, 200, 10 * time.Second}},
		"a longer time-out":    {bounds{0, 0, maxIdle, time.Hour}, bounds{200, 200, 200, time.Hour}},
		"fewer idle":           {bounds{0, 0, 10, idleTimeout}, bounds{200, 200, 10, 5 * time.Minute}},
		"idle without a bound": {bounds{0, 0, 0, 0}, bounds{200, 200, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.MaxConnections = 200
			got := c.before
			cfg.Tune(&got.maxConnsPerHost, &got.maxIdleConnsPerHost, &got.maxIdleConns, &got.idleConnTimeout)
			assert.Equal(t, c.after, got)
		})
	}
}
