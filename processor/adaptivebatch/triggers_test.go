package adaptivebatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

func TestFixedBatchLeavesAtItsSize(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, fixed(30))
		began := time.Now()
		a, b := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)
		requireNoAnswer(t, a)
		c := u.goSend(t.Context(), 20, 10)
		for _, answer := range []<-chan error{a, b, c} {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, roundTrip, time.Since(began), "nobody waited for anything but the backend")
		assert.Equal(t, []int{30}, next.sizes())
		assert.Equal(t, sequence(0, 30), next.took())
		u.requireEmpty()
	})
}

func TestFixedBatchLeavesAfterItsTimeout(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, fixed(30))
		began := time.Now()
		a := u.goSend(t.Context(), 0, 10)
		time.Sleep(400 * time.Millisecond)
		b := u.goSend(t.Context(), 10, 10)
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		assert.Equal(t, time.Second+roundTrip, time.Since(began), "the time-out counts from the oldest item")
		assert.Equal(t, []int{20}, next.sizes())
	})
}

func TestTimeoutZeroSendsAtOnce(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(30), func(cfg *Config) { cfg.Timeout = 0 }))
		began := time.Now()
		require.NoError(t, u.send(t.Context(), 0, 1))
		assert.Equal(t, roundTrip, time.Since(began))
	})
}

func TestSizeZeroSendsAtOnce(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, fixed(0))
		began := time.Now()
		require.NoError(t, u.send(t.Context(), 0, 1))
		assert.Equal(t, roundTrip, time.Since(began))
	})
}

func TestBatchLeavesAtItsBytes(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(1000), func(cfg *Config) { cfg.SendBatchMaxBytes = 5 * bytesOf(0, 10) }))
		began := time.Now()
		var answers []<-chan error
		for i := range 10 {
			answers = append(answers, u.goSend(t.Context(), i*10, 10))
		}
		for _, answer := range answers[:5] {
			require.NoError(t, <-answer)
		}
		assert.Less(t, time.Since(began), time.Second, "the first batch did not wait for its time-out")
		for _, answer := range answers[5:] {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, sequence(0, 100), next.took())
	})
}

func TestLargeCallIsSplitAndAnsweredOnce(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 40 }))
		require.NoError(t, u.send(t.Context(), 0, 100))
		assert.ElementsMatch(t, []int{40, 40, 20}, next.sizes())
		assert.Equal(t, sequence(0, 100), next.took())
		u.requireEmpty()
	})
}

func TestCallLargerThanTheBytesIsSplit(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, func(cfg *Config) { cfg.SendBatchMaxBytes = 600 })
		require.NoError(t, u.send(t.Context(), 0, 100))
		assert.Greater(t, len(next.sizes()), 1)
		assert.Equal(t, sequence(0, 100), next.took())
	})
}

func TestLoneCallerIsNotDelayed(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, nil)
		began := time.Now()
		for i := range 50 {
			require.NoError(t, u.send(t.Context(), i, 1))
		}
		assert.Equal(t, 50*roundTrip, time.Since(began), "its next span comes after the answer: waiting for more is of no use")
	})
}

func TestBatchesGrowWhileAllSlotsAreBusy(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, func(cfg *Config) { cfg.MaxConcurrency = 2 })
		var answers []<-chan error
		for i := range 20 {
			answers = append(answers, u.goSend(t.Context(), i, 1))
		}
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, []int{1, 1, 18}, next.sizes(), "two at once, the others together behind them")
		assert.Equal(t, 2, next.peak)
	})
}

func TestExportsRunConcurrently(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, fixed(1))
		began := time.Now()
		var answers []<-chan error
		for i := range 100 {
			answers = append(answers, u.goSend(t.Context(), i, 1))
		}
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, roundTrip, time.Since(began))
		assert.Equal(t, 100, next.peak)
	})
}

func TestConcurrencyStaysWithinItsBound(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(1), func(cfg *Config) { cfg.MaxConcurrency = 3; cfg.SendBatchMaxSize = 1 }))
		var answers []<-chan error
		for i := range 10 {
			answers = append(answers, u.goSend(t.Context(), i, 1))
		}
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, 3, next.peak)
		assert.Equal(t, sequence(0, 10), next.took())
	})
}

func TestWaitsForMoreWhereThatPays(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		// A backend far away, and 100 callers that send one span each every 10 ms on average, each on its own clock.
		const far = 100 * time.Millisecond
		next := &backend{answer: func(context.Context, []int64) error { time.Sleep(far); return nil }}
		u := start(t, path, next, func(cfg *Config) { cfg.WaitForResult = false })
		for i := range 5000 {
			require.NoError(t, u.send(t.Context(), i, 1))
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Second)
		assert.Equal(t, sequence(0, 5000), next.took())
		sizes := next.sizes()
		assert.Less(t, len(sizes), 100, "about ten batches per round trip")
	})
}

func TestNothingHappensWithoutCalls(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		u := start(t, path, &backend{}, nil)
		require.NoError(t, u.send(t.Context(), 0, 1))
		time.Sleep(time.Hour)
		u.requireEmpty()
		u.mu.Lock()
		defer u.mu.Unlock()
		assert.False(t, u.sweeping, "no timer is set")
		for _, s := range u.streams {
			assert.True(t, s.armedAt.IsZero(), "no timer is set")
		}
	})
}

func TestEmptyCallIsAnsweredAtOnce(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, fixed(10))
		require.NoError(t, u.send(t.Context(), 0, 0))
		assert.Empty(t, next.sizes())
	})
}

func TestBehindAnAsynchronousNextOnlyArrivalsCount(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(context.Context, []int64) error { return nil }}
		u := start(t, path, next, func(cfg *Config) { cfg.WaitForResult = false })
		for i := range quickAnswers {
			require.NoError(t, u.send(t.Context(), i, 1))
			time.Sleep(time.Second)
		}
		u.mu.Lock()
		assert.Equal(t, controller.AtOnce, u.control.Decision().Reason)
		u.mu.Unlock()
		before := len(next.sizes())
		for i := range 1000 {
			require.NoError(t, u.send(t.Context(), 1000+i, 10))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		assert.Less(t, len(next.sizes())-before, 400, "10,000 items/s are worth a few milliseconds of waiting")
		assert.Equal(t, quickAnswers+10*1000, len(next.took()))
	})
}

func TestBehindAnAsynchronousNextAWaitingCallerIsNotDelayed(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		full := false
		next := &backend{answer: func(context.Context, []int64) error {
			if full {
				return errors.New("sending queue is full")
			}
			return nil
		}}
		u := start(t, path, next, nil)
		for i := range quickAnswers {
			require.NoError(t, u.send(t.Context(), i, 1))
			time.Sleep(time.Second)
		}
		call := func(n int) {
			for range n {
				go func() { _ = u.send(t.Context(), 1000, 1) }()
			}
		}
		// Ten callers of one item each, every millisecond: enough to make waiting look worthwhile.
		round := func(n int) {
			for range n {
				call(10)
				time.Sleep(time.Millisecond)
			}
		}
		began := time.Now()
		round(200)
		require.NoError(t, u.send(t.Context(), 2000, 1))
		assert.Equal(t, 200*time.Millisecond, time.Since(began), "it was answered at once")

		full = true
		require.Error(t, u.send(t.Context(), 3000, 1))
		full = false
		u.mu.Lock()
		assert.Equal(t, controller.QueueFull, u.control.Decision().Reason)
		u.mu.Unlock()
		call(200) // that many producers there are
		before := len(next.sizes())
		round(200)
		time.Sleep(time.Second)
		assert.Less(t, len(next.sizes())-before, 100, "2,000 calls in fewer requests than the queue could not hold")
	})
}
