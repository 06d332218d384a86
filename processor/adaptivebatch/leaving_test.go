package adaptivebatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counted is a payload that is never sent.
type counted struct{ payload }

func (counted) items() int { return 1 }
func (counted) bytes() int { return 1 }
func (counted) free()      {}

// crowd brings n calls, of which those that are let in stay in the queue.
func crowd(tb testing.TB, b *batcher, n int) []*call {
	tb.Helper()
	key, info := streamKey(tb.Context(), nil, encodedKind)
	calls := make([]*call, n)
	for i := range calls {
		c := &call{ctx: tb.Context(), answer: make(chan error, 1), arrived: time.Now()}
		c.carry([]payload{counted{}})
		require.NoError(tb, b.accept(c, key, info))
		calls[i] = c
	}
	return calls
}

// Where a thousand leave together, each that looks at all others makes a million.
func TestACallerThatLeavesCostsTheSameHoweverManyWait(t *testing.T) {
	const callers = 1000
	for name, c := range map[string]struct{ letIn, atTheDoor int }{
		"in the queue": {callers, 0},
		"at the door":  {1, callers - 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := start(t, decodedKind, &backend{}, all(fixed(2*callers), func(cfg *Config) {
					cfg.SendBatchMaxBytes, cfg.MaxPendingBytes = 0, int64(c.letIn)
				}))
				calls := crowd(t, u.batcher, callers)
				assert.Equal(t, c.atTheDoor, u.waitingCalls)
				left := errLeft(context.Canceled)
				next := 1 // nobody comes in
				assert.Zero(t, testing.AllocsPerRun(callers-3, func() {
					assertSame(t, left, u.leave(calls[next], left))
					next++
				}), "no queue is built anew")
				assert.Equal(t, 2, u.held.length)
				assertSame(t, left, u.leave(calls[0], left))
				assertSame(t, left, u.leave(calls[next], left))
				u.requireEmpty()
			})
		})
	}
}

// assertSame allocates nothing where all is well.
func assertSame(t *testing.T, want, got error) {
	t.Helper()
	if want != got { //nolint:errorlint // it is the very same
		assert.Equal(t, want, got)
	}
}

func TestCallersThatWaitTooLongTogetherLeaveTogether(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, all(fixed(10), room(50, 100), func(cfg *Config) { cfg.MaxConcurrency = 1 }))
		began := time.Now()
		for _, answer := range u.goSendTens(t.Context(), 100) { // in flight, in the queue, at the door
			require.ErrorContains(t, <-answer, "max_wait")
		}
		assert.Equal(t, 30*time.Second, time.Since(began))
		u.requireEmpty()
	})
}
