package adaptivebatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestShutdownSendsWhatWasAdmitted(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(100), byTenant))
		a, b := u.goSend(tenant(t.Context(), "a"), 0, 10), u.goSend(tenant(t.Context(), "b"), 10, 10)
		began := time.Now()
		require.NoError(t, u.Shutdown(t.Context()))
		assert.Equal(t, roundTrip, time.Since(began), "nothing waits for its time-out")
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		assert.Equal(t, sequence(0, 20), next.took())
		requireRefused(t, u.send(t.Context(), 20, 1), "shutting down")
		require.NoError(t, u.Shutdown(t.Context()), "a second one does no harm")
		u.requireEmpty()
	})
}

func TestShutdownSendsMoreThanFitsIntoOneBatch(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(1000), func(cfg *Config) {
			cfg.WaitForResult = false
			cfg.MaxConcurrency = 1
			cfg.SendBatchMaxSize = 1000
		}))
		for i := range 99 {
			require.NoError(t, u.send(t.Context(), i*10, 10))
		}
		require.NoError(t, u.Shutdown(t.Context()))
		assert.Equal(t, sequence(0, 990), next.took())
	})
}

func TestShutdownWithADeadBackendEnds(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, all(fixed(10), room(3, 10), func(cfg *Config) { cfg.MaxConcurrency = 1 }))
		var answers []<-chan error
		for i := range 6 { // one in flight, two in the queue, three at the door
			answers = append(answers, u.goSend(t.Context(), 100+i*10, 10))
		}
		began := time.Now()
		err := u.Shutdown(t.Context())
		require.ErrorContains(t, err, "shutdown_timeout of 10s: 20 items were not sent")
		assert.Equal(t, 10*time.Second, time.Since(began))
		for _, answer := range answers {
			assert.Equal(t, codes.Unavailable, status.Code(<-answer), "every sender is told to try again")
		}
		u.requireEmpty()
	})
}

func TestShutdownDoesNotWaitForAnExportThatNeverEnds(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		release := make(chan struct{})
		next := &backend{answer: func(context.Context, []int64) error { <-release; return nil }}
		u := start(t, path, next, fixed(10))
		a := u.goSend(t.Context(), 0, 10)
		began := time.Now()
		require.Error(t, u.Shutdown(t.Context()))
		assert.Equal(t, 10*time.Second+cancelGrace, time.Since(began))
		require.Error(t, <-a)
		close(release)
		u.requireEmpty()
	})
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, fixed(10))
		a := u.goSend(t.Context(), 0, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.Error(t, u.Shutdown(ctx))
		assert.Equal(t, time.Second, time.Since(began))
		require.Error(t, <-a)
	})
}

func TestShutdownCountsWhatNobodyWaitsFor(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.WaitForResult = false; cfg.MaxConcurrency = 1 }))
		for i := range 3 {
			require.NoError(t, u.send(t.Context(), i*10, 10))
			synctest.Wait() // the first batch is closed before there is a second
		}
		require.ErrorContains(t, u.Shutdown(t.Context()), "20 items were not sent")
		u.requireEmpty()
	})
}

func TestShutdownUnderLoadLosesNothingAcknowledged(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, nil)
		answers := make([]<-chan error, 400)
		for i := range answers {
			if i == 200 {
				go func() { _ = u.Shutdown(context.Background()) }()
			}
			answers[i] = u.goSend(t.Context(), i*10, 10)
			if i%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		var want []int64
		for i, answer := range answers {
			if err := <-answer; err == nil {
				want = append(want, sequence(i*10, 10)...)
			} else {
				requireRefused(t, err, "shutting down")
			}
		}
		assert.Equal(t, want, next.took())
		assert.NotEmpty(t, want)
		u.requireEmpty()
	})
}
