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

// bytesOf returns the encoded size of n spans as numbered makes them.
func bytesOf(first, n int) int64 {
	signal := &newTraces(nil, &backend{}).signal
	return int64(signal.size(numbered(first, n)))
}

// room bounds pending and waiting bytes to so many calls of ten spans.
func room(pending, waiting int) func(*Config) {
	return func(cfg *Config) {
		cfg.MaxPendingBytes = bytesOf(100, 10) * int64(pending)
		cfg.MaxWaitingBytes = bytesOf(100, 10) * int64(waiting)
		cfg.SendBatchMaxBytes = 0
	}
}

func TestCallsWaitAtTheDoorForRoom(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(10), room(2, 10)))
		began := time.Now()
		var answers []<-chan error
		for i := range 6 {
			answers = append(answers, u.goSend(t.Context(), 100+i*10, 10))
		}
		u.mu.Lock()
		assert.Equal(t, 2*bytesOf(100, 10), u.pending)
		assert.Equal(t, 4*bytesOf(100, 10), u.waitingBytes)
		u.mu.Unlock()
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, 3*roundTrip, time.Since(began), "two at a time")
		assert.Equal(t, sequence(100, 60), next.took())
		u.requireEmpty()
	})
}

func requireRefused(t *testing.T, err error, key string) {
	t.Helper()
	require.ErrorContains(t, err, key)
	assert.Equal(t, codes.Unavailable, status.Code(err), "senders try it again")
}

func TestWithoutBlockingAFullDoorRefuses(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		u := start(t, path, &backend{}, all(fixed(10), room(1, 10), func(cfg *Config) { cfg.BlockOnOverflow = false }))
		a := u.goSend(t.Context(), 100, 10)
		requireRefused(t, u.send(t.Context(), 110, 10), "max_pending_bytes")
		require.NoError(t, <-a)
		require.NoError(t, u.send(t.Context(), 110, 10), "there is room again")
		u.requireEmpty()
	})
}

func TestMoreThanMayWaitIsRefused(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		u := start(t, path, &backend{}, all(fixed(10), room(1, 2)))
		a, b, c := u.goSend(t.Context(), 100, 10), u.goSend(t.Context(), 110, 10), u.goSend(t.Context(), 120, 10)
		requireRefused(t, u.send(t.Context(), 130, 10), "max_waiting_bytes")
		for _, answer := range []<-chan error{a, b, c} {
			require.NoError(t, <-answer)
		}
		u.requireEmpty()
	})
}

func TestCallLargerThanAllRoomGoesAlone(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(10), room(2, 100)))
		a := u.goSend(t.Context(), 100, 10)
		large := u.goSend(t.Context(), 1000, 100)
		small := u.goSend(t.Context(), 110, 10)
		require.NoError(t, <-a)
		requireNoAnswer(t, small)
		require.NoError(t, <-large)
		require.NoError(t, <-small)
		assert.Equal(t, []int{10, 100, 10}, next.sizes())
		u.requireEmpty()
	})
}

func TestCallerAtTheDoorMayLeave(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(10), room(1, 10)))
		ctx, leave := context.WithCancel(t.Context())
		a, b, c := u.goSend(t.Context(), 100, 10), u.goSend(ctx, 110, 10), u.goSend(t.Context(), 120, 10)
		leave()
		require.ErrorIs(t, <-b, context.Canceled)
		require.NoError(t, <-a)
		require.NoError(t, <-c)
		assert.NotContains(t, next.took(), int64(110))
		u.requireEmpty()
	})
}

func TestWaitAtTheDoorEndsWithMaxWait(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, all(fixed(10), room(1, 10), func(cfg *Config) { cfg.WaitForResult = false }))
		require.NoError(t, u.send(t.Context(), 100, 10))
		began := time.Now()
		requireRefused(t, u.send(t.Context(), 110, 10), "max_wait")
		assert.Equal(t, u.cfg.MaxWait, time.Since(began))
	})
}

func TestOneMetadataStreamDoesNotKeepOthersOut(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(10), room(2, 100), func(cfg *Config) { cfg.MetadataKeys = []string{"tenant"} }))
		var greedy []<-chan error
		for i := range 40 {
			greedy = append(greedy, u.goSend(tenant(t.Context(), "greedy"), 1000+i*10, 10))
		}
		began := time.Now()
		modest := u.goSend(tenant(t.Context(), "modest"), 100, 10)
		require.NoError(t, <-modest)
		assert.LessOrEqual(t, time.Since(began), 2*roundTrip, "it waits for the next room, not for all that came before")
		for _, answer := range greedy {
			require.NoError(t, <-answer)
		}
		u.requireEmpty()
	})
}

func TestOverloadStaysWithinItsBytes(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(10), room(4, 8)))
		bound := u.cfg.MaxPendingBytes
		var answers []<-chan error
		stop := make(chan struct{})
		var pendingMost, waitingMost int64
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				u.mu.Lock()
				pendingMost, waitingMost = max(pendingMost, u.pending), max(waitingMost, u.waitingBytes)
				u.mu.Unlock()
			}
		}()
		var want []int64
		for i := range 200 { // about twice what fits
			answers = append(answers, u.goSend(t.Context(), 1000+i*10, 10))
			time.Sleep(roundTrip / 8)
		}
		refused := 0
		for i, answer := range answers {
			if err := <-answer; err != nil {
				refused++
			} else {
				want = append(want, sequence(1000+i*10, 10)...)
			}
		}
		close(stop)
		synctest.Wait()
		assert.Positive(t, refused)
		assert.LessOrEqual(t, pendingMost, bound)
		assert.LessOrEqual(t, waitingMost, u.cfg.MaxWaitingBytes)
		assert.Equal(t, want, next.took(), "exactly what was acknowledged has arrived")
		assert.GreaterOrEqual(t, len(want), 200*10*45/100, "the backend was kept busy")
		u.requireEmpty()
	})
}
