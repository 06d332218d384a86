package adaptivebatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

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
		"failing at it":    permanent(codes.Internal),
		"in a fan-out":     errors.Join(permanent(codes.Unauthenticated), permanent(codes.InvalidArgument)),
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
	for name, c := range map[string]struct {
		code              codes.Code
		callers, requests int
	}{
		"a fault of our own hop":                                    {codes.Unauthenticated, 8, 1},
		"a backend that wants less to do and will not say how much": {codes.ResourceExhausted, 8, 1},
		"a backend that fails at everything":                        {codes.Internal, 8, 3},
		"a backend that fails at everything over HTTP":              {codes.Unknown, 8, 3},
		"a backend that fails at one caller's and at two callers'":  {codes.Internal, 3, 3},
	} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				requests := 0
				next := &backend{answer: func(context.Context, []int64) error {
					requests++
					return permanent(c.code)
				}}
				u := start(t, path, next, fixed(c.callers*10))
				var answers []<-chan error
				for i := range c.callers {
					answers = append(answers, u.goSend(t.Context(), i*10, 10))
				}
				for _, answer := range answers {
					require.Equal(t, c.code, status.Code(errors.Unwrap(<-answer)))
				}
				assert.Equal(t, c.requests, requests, "sending it again caller by caller would not help")
			})
		})
	}
}

// Two bad callers of one half, in different quarters: the other half shows that the backend works.
func TestWhatAWorkingBackendFailsAtIsIsolated(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(_ context.Context, spans []int64) error {
			if slices.Contains(spans, 5) || slices.Contains(spans, 25) {
				return permanent(codes.Internal)
			}
			return nil
		}}
		u := start(t, path, next, fixed(80))
		var answers []<-chan error
		for i := range 8 {
			answers = append(answers, u.goSend(t.Context(), i*10, 10))
		}
		for i, answer := range answers {
			if err := <-answer; i == 0 || i == 2 {
				require.Equal(t, codes.Internal, status.Code(errors.Unwrap(err)))
			} else {
				require.NoError(t, err, "client %d", i)
			}
		}
		u.requireEmpty()
	})
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

func TestWhatHalvesWouldHardlyMakeSmallerIsSentOnce(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		requests := 0
		next := &backend{answer: func(context.Context, []int64) error {
			requests++
			return errTooLarge()
		}}
		u := start(t, path, next, fixed(1000))
		td := numbered(0, 100)
		td.ResourceSpans().At(0).Resource().Attributes().PutStr("large", strings.Repeat("x", 200<<10))
		require.ErrorIs(t, u.sendTraces(t.Context(), td), attempt.ErrTooLarge)
		assert.Equal(t, 1, requests, "the resource is what is too large")
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
		"its content, and away in another branch": {
			map[int64]error{5: errors.Join(permanent(codes.InvalidArgument), away)}, away, nil,
		},
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
