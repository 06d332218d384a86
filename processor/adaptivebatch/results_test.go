package adaptivebatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
)

// refusing answers with err where a request holds the number, after the usual time.
func refusing(number int64, err error) func(context.Context, []int64) error {
	return func(_ context.Context, spans []int64) error {
		time.Sleep(roundTrip)
		if slices.Contains(spans, number) {
			return err
		}
		return nil
	}
}

func TestErrorsReachTheCallers(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		away := status.Error(codes.Unavailable, "the backend is away")
		next := &backend{answer: refusing(0, away)}
		u := start(t, path, next, fixed(20))
		a, b := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)
		require.ErrorIs(t, <-a, away)
		require.ErrorIs(t, <-b, away)
		require.NoError(t, u.send(t.Context(), 20, 20), "a later batch has its own result")
		u.requireEmpty()
	})
}

func TestRetryableFailureOfASplitCallDropsItsRest(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: refusing(0, status.Error(codes.Unavailable, "away"))}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 10; cfg.MaxConcurrency = 1 }))
		require.Error(t, u.send(t.Context(), 0, 100))
		assert.Empty(t, next.took(), "the caller sends all of it again: nothing needs to arrive twice")
		u.requireEmpty()
	})
}

func TestPermanentFailureOfASplitCallSendsItsRest(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: refusing(5, permanent(codes.InvalidArgument))}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 10; cfg.MaxConcurrency = 1 }))
		require.Error(t, u.send(t.Context(), 0, 100))
		assert.Equal(t, sequence(10, 90), next.took(), "the caller will not send it again: what is good must arrive")
		u.requireEmpty()
	})
}

// A client that was told not to send again would lose the part that only failed for a time.
func TestOfASplitCallWhatCanBeSentAgainCounts(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	for name, answers := range map[string][]error{
		"at the end":   {permanent(codes.InvalidArgument), nil, away},
		"at the start": {away, nil, permanent(codes.InvalidArgument)},
	} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				next := &backend{answer: func(_ context.Context, spans []int64) error {
					part := spans[0] / 10
					time.Sleep(time.Duration(1+part) * roundTrip)
					return answers[part]
				}}
				u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 10 }))
				err := u.send(t.Context(), 0, 30)
				require.ErrorIs(t, err, away)
				assert.False(t, consumererror.IsPermanent(err))
				time.Sleep(3 * roundTrip) // the backend does not notice that nobody waits any more
				u.requireEmpty()
			})
		})
	}
}

func TestWhatASplitCallWillSendAgainIsCancelled(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		away := status.Error(codes.Unavailable, "away")
		cancelled := false
		next := &backend{answer: func(ctx context.Context, spans []int64) error {
			if spans[0] == 0 {
				time.Sleep(roundTrip)
				return away
			}
			<-ctx.Done() // as an exporter that tries again until it is told to stop
			cancelled = true
			return ctx.Err()
		}}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 10; cfg.MaxConcurrency = 2 }))
		require.ErrorIs(t, u.send(t.Context(), 0, 30), away)
		synctest.Wait()
		assert.True(t, cancelled, "nobody waits for it")
		assert.Empty(t, next.took())
		u.requireEmpty()
	})
}

func TestCallerThatLeavesTakesItsItemsOut(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, fixed(30))
		ctx, leave := context.WithCancel(t.Context())
		a := u.goSend(t.Context(), 0, 10)
		b := u.goSend(ctx, 10, 10)
		leave()
		require.ErrorIs(t, <-b, context.Canceled)
		require.NoError(t, <-a)
		assert.Equal(t, sequence(0, 10), next.took())
		u.requireEmpty()
	})
}

func TestBatchThatNobodyWaitsForIsCancelled(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		cancelled := false
		next := &backend{answer: func(ctx context.Context, _ []int64) error {
			<-ctx.Done() // as an exporter that tries again until it is told to stop
			cancelled = true
			return ctx.Err()
		}}
		u := start(t, path, next, fixed(20))
		first, leaveFirst := context.WithCancel(t.Context())
		second, leaveSecond := context.WithCancel(t.Context())
		a, b := u.goSend(first, 0, 10), u.goSend(second, 10, 10)
		leaveFirst()
		require.ErrorIs(t, <-a, context.Canceled)
		requireNoAnswer(t, b)
		assert.False(t, cancelled, "one still waits for it")
		leaveSecond()
		require.ErrorIs(t, <-b, context.Canceled)
		synctest.Wait()
		assert.True(t, cancelled)
		u.requireEmpty()
	})
}

func TestCallerIsHeldNoLongerThanMaxWait(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.MaxWait = 5 * time.Second; cfg.MaxConcurrency = 1 }))
		began := time.Now()
		a := u.goSend(t.Context(), 0, 10)
		time.Sleep(time.Second)
		b := u.goSend(t.Context(), 10, 10) // its items are never sent
		err := <-a
		assert.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, "max_wait of 5s")
		assert.Equal(t, 5*time.Second, time.Since(began))
		require.Error(t, <-b)
		assert.Equal(t, 6*time.Second, time.Since(began))
		u.requireEmpty()
	})
}

func TestWithoutWaitingTheCallerGoesOn(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: refusing(5, errors.New("no"))}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.WaitForResult = false }))
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, u.send(ctx, 0, 10), "its result is only logged and counted")
		synctest.Wait() // the batch is closed
		require.NoError(t, u.send(ctx, 10, 5))
		cancel() // as a server does when the call has returned
		assert.Zero(t, time.Since(began))
		time.Sleep(2 * time.Second)
		assert.Equal(t, sequence(10, 5), next.took())
		u.requireEmpty()
	})
}

func TestEveryCallerGetsItsOwnAnswerUnderLoad(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			time.Sleep(roundTrip)
			for _, n := range spans {
				if n%97 == 0 {
					return permanent(codes.InvalidArgument)
				}
			}
			return nil
		}}
		u := start(t, path, next, nil)
		var answers []<-chan error
		var want []int64
		for i := range 1000 {
			answers = append(answers, u.goSend(t.Context(), i, 1))
			if i%97 != 0 {
				want = append(want, int64(i))
			}
			if i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		for i, answer := range answers {
			assert.Equal(t, i%97 == 0, <-answer != nil, fmt.Sprintf("span %d", i))
		}
		assert.Equal(t, want, next.took())
		u.requireEmpty()
	})
}

func TestLostBytesAreAnError(t *testing.T) {
	u := start(t, encodedKind, &backend{}, nil)
	td := numbered(0, 1)
	td.ResourceSpans().At(0).SetSchemaUrl("urn:otelcol-adaptive:bytepath")
	require.Error(t, u.ConsumeTraces(t.Context(), td), "a marker without its request is never silent")
}

// heedless is a component that knows nothing of requests as bytes: it answers that it has done all there is to do.
type heedless struct{ calls int }

func (*heedless) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (h *heedless) ConsumeTraces(context.Context, ptrace.Traces) error {
	h.calls++
	return nil
}

func TestWhatNobodyTookIsNotAcknowledged(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &heedless{}
		u := start(t, path, next, fixed(20))
		a, b := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)
		for _, answer := range []<-chan error{a, b} {
			err := <-answer
			if path == decodedKind {
				require.NoError(t, err, "decoded telemetry is there for everybody to see")
				continue
			}
			require.ErrorIs(t, err, bytepath.ErrNotTaken)
			assert.False(t, consumererror.IsPermanent(err), "the client keeps it")
		}
		assert.Equal(t, 1, next.calls, "it is not sent again: that would help nobody")
		u.requireEmpty()
	})
}
