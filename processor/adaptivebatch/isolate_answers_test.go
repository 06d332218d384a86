package adaptivebatch

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// goSendTens sends ten spans for each of n callers, whose answers come through the channels.
func (u *underTest) goSendTens(ctx context.Context, n int) []<-chan error {
	answers := make([]<-chan error, n)
	for i := range answers {
		answers[i] = u.goSend(ctx, 10*i, 10)
	}
	return answers
}

func TestCallersAreAnsweredWhileOthersAreIsolated(t *testing.T) {
	for name, c := range map[string]struct {
		guilty int
		after  []int // so many requests each caller has its answer
	}{
		"the first is guilty": {0, []int{6, 7, 5, 5, 3, 3, 3, 3}},
		"the last is guilty":  {7, []int{2, 2, 2, 2, 4, 4, 6, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				next := &backend{answer: refusing(int64(10*c.guilty), permanent(codes.InvalidArgument))}
				u := start(t, path, next, fixed(80))
				began := time.Now()
				answers := u.goSendTens(t.Context(), 8)
				for requests := range 8 {
					for i, answer := range answers {
						if c.after[i] == requests {
							assert.Equal(t, i == c.guilty, consumererror.IsPermanent(<-answer), "caller %d", i)
							assert.Equal(t, time.Duration(requests)*roundTrip, time.Since(began), "caller %d", i)
						}
					}
					synctest.Wait()
					u.mu.Lock()
					if requests < 7 {
						assert.Equal(t, 1, u.inFlight.Exports, "the batch keeps its slot")
						assert.Equal(t, 8*bytesOf(0, 10), u.pending, "and its bytes")
					}
					u.mu.Unlock()
				}
				u.requireEmpty()
			})
		})
	}
}

// With a slow backend the clients leave before all of the guilty are found.
func TestManyGuiltyCallersKeepNobodyFromItsAnswer(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		began := time.Now()
		var last time.Duration
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			last = time.Since(began)
			time.Sleep(500 * time.Millisecond)
			if slices.ContainsFunc(spans, func(n int64) bool { return n%40 == 0 }) {
				return permanent(codes.InvalidArgument)
			}
			return nil
		}}
		u := start(t, path, next, fixed(640))
		ctx, cancel := context.WithTimeout(t.Context(), 9900*time.Millisecond)
		defer cancel()
		for i, answer := range u.goSendTens(ctx, 64) {
			switch err := <-answer; {
			case i >= 8:
				require.ErrorIs(t, err, context.DeadlineExceeded)
			case i%4 == 0:
				assert.True(t, consumererror.IsPermanent(err), "caller %d", i)
			default:
				require.NoError(t, err, "caller %d", i)
			}
		}
		time.Sleep(time.Minute)
		assert.Equal(t, slices.Concat(sequence(10, 30), sequence(50, 30)), next.took(), "what nobody was told has not arrived")
		assert.Less(t, last, 10*time.Second, "nobody waits for more")
		u.requireEmpty()
	})
}

func TestAHalfThatNobodyWaitsForIsNotSent(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		requests := 0
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			requests++
			time.Sleep(roundTrip)
			if slices.Contains(spans, 0) || slices.Contains(spans, 70) {
				return permanent(codes.InvalidArgument)
			}
			return nil
		}}
		u := start(t, path, next, fixed(80))
		stay := u.goSendTens(t.Context(), 4)
		ctx, leave := context.WithCancel(t.Context())
		for i := range 4 {
			u.goSend(ctx, 40+10*i, 10)
		}
		time.Sleep(roundTrip + roundTrip/2) // while the first half is sent again
		leave()
		for i, answer := range stay {
			assert.Equal(t, i == 0, <-answer != nil, "caller %d", i)
		}
		assert.Equal(t, 6, requests, "all, the first half, its halves, and the two of the first of these")
		assert.Equal(t, sequence(10, 30), next.took())
		u.requireEmpty()
	})
}

func TestWhatIsDividedForACallerThatHasLeftIsNotSent(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			time.Sleep(roundTrip)
			if len(spans) > 10 {
				return errTooLarge()
			}
			return nil
		}}
		u := start(t, path, next, fixed(50))
		ctx, leave := context.WithCancel(t.Context())
		large, small := u.goSend(ctx, 0, 40), u.goSend(t.Context(), 40, 10)
		require.NoError(t, <-small)
		time.Sleep(roundTrip + roundTrip/2) // half of the large call was refused, and half of that is being sent
		leave()
		require.ErrorIs(t, <-large, context.Canceled)
		time.Sleep(time.Second)
		assert.Equal(t, slices.Concat(sequence(0, 10), sequence(40, 10)), next.took())
		u.requireEmpty()
	})
}

func TestABatchIsCancelledWhenNobodyWaitsForTheRestOfIt(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		cancelled := false
		next := &backend{answer: func(ctx context.Context, spans []int64) error {
			time.Sleep(roundTrip)
			switch {
			case len(spans) > 10:
				return permanent(codes.InvalidArgument)
			case spans[0] == 0:
				return nil
			}
			<-ctx.Done() // as an exporter that tries again until it is told to stop
			cancelled = true
			return ctx.Err()
		}}
		u := start(t, path, next, fixed(20))
		ctx, leave := context.WithCancel(t.Context())
		first, second := u.goSend(t.Context(), 0, 10), u.goSend(ctx, 10, 10)
		require.NoError(t, <-first)
		time.Sleep(2 * roundTrip)
		assert.False(t, cancelled)
		leave()
		require.ErrorIs(t, <-second, context.Canceled)
		synctest.Wait()
		assert.True(t, cancelled)
		u.requireEmpty()
	})
}

// A call has a part in each of two batches. It leaves when that of the second has its result, which another still waits for.
func TestACallThatLeavesAfterAPartWasSettledCancelsNobodyElses(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, spans []int64) error {
			switch {
			case slices.Contains(spans, 0): // the first batch
				<-ctx.Done()
				return ctx.Err()
			case slices.Equal(spans, sequence(20, 5)):
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(10 * roundTrip):
				}
			default:
				time.Sleep(roundTrip)
			}
			if slices.Contains(spans, 20) {
				return permanent(codes.InvalidArgument)
			}
			return nil
		}}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.SendBatchMaxSize = 10 }))
		ctx, leave := context.WithCancel(t.Context())
		split, other := u.goSend(ctx, 0, 15), u.goSend(t.Context(), 20, 5)
		time.Sleep(3 * roundTrip)
		leave()
		require.ErrorIs(t, <-split, context.Canceled)
		assert.Equal(t, codes.InvalidArgument, status.Code(<-other))
		assert.Equal(t, sequence(10, 5), next.took())
		u.requireEmpty()
	})
}

func TestACallerGetsBackItsOwnWhileOthersAreIsolated(t *testing.T) {
	for name, mutates := range map[string]bool{"what is only read": false, "what is changed": true} {
		t.Run(name, func(t *testing.T) {
			eachDecodedPath(t, func(t *testing.T, path payloadKind) {
				away := status.Error(codes.Unavailable, "away")
				next := &backend{mutates: mutates && path == decodedKind, answer: func(_ context.Context, spans []int64) error {
					time.Sleep(roundTrip)
					switch {
					case slices.Contains(spans, 75):
						return permanent(codes.InvalidArgument)
					case slices.Contains(spans, 0):
						return away
					}
					return nil
				}}
				u := start(t, path, next, fixed(80))
				var values []ptrace.Traces
				var answers []<-chan error
				for i := range 8 {
					values = append(values, numbered(10*i, 10))
					answers = append(answers, u.goConsume(values[i]))
				}
				for i := range 4 {
					require.ErrorIs(t, <-answers[i], away)
					assert.Equal(t, sequence(10*i, 10), numbersIn(t.Context(), values[i]))
					values[i].ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true })
				}
				requireNoAnswer(t, answers[4])
				for i := 4; i < 8; i++ {
					assert.Equal(t, i == 7, consumererror.IsPermanent(<-answers[i]))
					assert.Zero(t, values[i].SpanCount())
				}
				assert.Equal(t, sequence(40, 30), next.took())
				u.requireEmpty()
			})
		})
	}
}
