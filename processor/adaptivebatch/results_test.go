package adaptivebatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
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

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
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

// permanent is what exporters return for a request that the backend refuses for its content.
func permanent(code codes.Code) error {
	return consumererror.NewPermanent(status.Error(code, "refused"))
}

// tooLarge is what pooledotlp returns for a request that exceeds a limit of the backend: to a client it is refused for its content.
type tooLarge struct{ error }

func (tooLarge) Is(target error) bool { return target == attempt.ErrTooLarge }

func errTooLarge() error {
	return consumererror.NewPermanent(tooLarge{status.Error(codes.InvalidArgument, "refused")})
}

func TestOnePoisonedClientAmongAHundred(t *testing.T) {
	for name, err := range map[string]error{
		"with a status":    permanent(codes.InvalidArgument),
		"without a status": consumererror.NewPermanent(errors.New("cannot be written")),
		"in a fan-out":     errors.Join(status.Error(codes.Unavailable, "away"), permanent(codes.InvalidArgument)),
	} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				next := &backend{answer: refusing(424, err)}
				u := start(t, path, next, fixed(1000))
				var answers []<-chan error
				for i := range 100 {
					answers = append(answers, u.goSend(t.Context(), i*10, 10))
				}
				for i, answer := range answers {
					if err := <-answer; i == 42 {
						require.Error(t, err)
						assert.True(t, consumererror.IsPermanent(err))
					} else {
						require.NoError(t, err, "client %d", i)
					}
				}
				assert.Equal(t, slices.Concat(sequence(0, 420), sequence(430, 570)), next.took())
				assert.LessOrEqual(t, len(next.sizes()), 8, "found by halving")
				u.requireEmpty()
			})
		})
	}
}

func TestOnlyWhatIsRefusedForItsContentIsIsolated(t *testing.T) {
	for name, code := range map[string]codes.Code{
		"a fault of our own hop":                                    codes.Unauthenticated,
		"a backend that fails":                                      codes.Internal,
		"a backend that fails over HTTP":                            codes.Unknown,
		"a backend that wants less to do and will not say how much": codes.ResourceExhausted,
	} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				requests := 0
				next := &backend{answer: func(context.Context, []int64) error {
					requests++
					return permanent(code)
				}}
				u := start(t, path, next, fixed(20))
				a, b := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)
				require.Equal(t, code, status.Code(errors.Unwrap(<-a)))
				require.Equal(t, code, status.Code(errors.Unwrap(<-b)))
				assert.Equal(t, 1, requests, "sending it again caller by caller would not help")
			})
		})
	}
}

func TestTooLargeRequestsAreHalved(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			time.Sleep(roundTrip)
			if len(spans) > 30 {
				return errTooLarge()
			}
			return nil
		}}
		u := start(t, path, next, fixed(100))
		a, b := u.goSend(t.Context(), 0, 20), u.goSend(t.Context(), 20, 100)
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		assert.Equal(t, sequence(0, 120), next.took())
		for _, n := range next.sizes() {
			assert.LessOrEqual(t, n, 30)
		}
		u.requireEmpty()
	})
}

func TestSingleItemThatIsTooLargeFailsAlone(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: refusing(15, errTooLarge())}
		u := start(t, path, next, fixed(30))
		a, b := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 20)
		require.NoError(t, <-a)
		require.Error(t, <-b)
		assert.Equal(t, slices.Concat(sequence(0, 15), sequence(16, 14)), next.took())
		u.requireEmpty()
	})
}

func TestWhatOnePartOfADividedCallIsRefusedFor(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	for name, c := range map[string]struct {
		answers map[int64]error // to the request with this span
		want    error
		took    []int64
	}{
		"its content":                {map[int64]error{5: permanent(codes.InvalidArgument)}, permanent(codes.InvalidArgument), sequence(10, 30)},
		"its content, and then away": {map[int64]error{5: permanent(codes.InvalidArgument), 25: away}, away, sequence(10, 10)},
		"away":                       {map[int64]error{15: away}, away, sequence(0, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				next := &backend{answer: func(_ context.Context, spans []int64) error {
					time.Sleep(roundTrip)
					if len(spans) > 10 {
						return errTooLarge()
					}
					for number, err := range c.answers {
						if slices.Contains(spans, number) {
							return err
						}
					}
					return nil
				}}
				u := start(t, path, next, fixed(40))
				err := u.send(t.Context(), 0, 40)
				require.ErrorContains(t, err, c.want.Error())
				assert.Equal(t, consumererror.IsPermanent(c.want), consumererror.IsPermanent(err))
				assert.Equal(t, c.took, next.took())
				u.requireEmpty()
			})
		})
	}
}

func TestLearntCeilingKeepsLaterCallsBelow(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		var refused atomic.Int32
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			time.Sleep(roundTrip)
			if len(spans) > 400 {
				refused.Add(1)
				return errTooLarge()
			}
			return nil
		}}
		u := start(t, path, next, nil)
		for i := range 50 {
			require.NoError(t, u.send(t.Context(), i*1000, 1000))
		}
		assert.Equal(t, sequence(0, 50_000), next.took())
		assert.Less(t, refused.Load(), int32(15), "the limit is learnt, and tried again only now and then")
	})
}

func TestIsolationWorksBehindAConsumerThatChangesData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &backend{mutates: true, answer: refusing(5, permanent(codes.InvalidArgument))}
		u := start(t, decodedKind, next, fixed(20))
		a, b := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)
		require.Error(t, <-a)
		require.NoError(t, <-b)
		assert.Equal(t, sequence(10, 10), next.took())
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
