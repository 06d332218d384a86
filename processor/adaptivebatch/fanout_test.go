package adaptivebatch

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/multierr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fanOut hands everything to each of several consumers, and joins their errors, as the Collector's graph does.
type fanOut []*backend

func (fanOut) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (f fanOut) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	var errs error
	for _, next := range f {
		errs = multierr.Append(errs, next.ConsumeTraces(ctx, td))
	}
	return errs
}

// A caller that is told that its spans are refused gives them up, and the backend that was away never gets them.
func TestWhatOneBackendRefusesIsSentAgainToAnotherThatWasAway(t *testing.T) {
	for name, reversed := range map[string]bool{"the refusal comes first": false, "the refusal comes last": true} {
		t.Run(name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				away := status.Error(codes.Unavailable, "away")
				strict := &backend{answer: refusing(5, permanent(codes.InvalidArgument))}
				other := &backend{answer: func(context.Context, []int64) error { time.Sleep(roundTrip); return away }}
				next := fanOut{strict, other}
				if reversed {
					slices.Reverse(next)
				}
				u := start(t, path, next, fixed(20))
				for _, answer := range []<-chan error{u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)} {
					err := <-answer
					require.ErrorIs(t, err, away)
					assert.False(t, consumererror.IsPermanent(err))
					assert.Equal(t, codes.Unavailable, status.Code(err), "what a client is told")
				}
				other.answer = nil
				bad, good := u.goSend(t.Context(), 0, 10), u.goSend(t.Context(), 10, 10)
				assert.True(t, consumererror.IsPermanent(<-bad))
				require.NoError(t, <-good)
				assert.Equal(t, sequence(0, 20), slices.Compact(other.took()))
				assert.Equal(t, sequence(10, 10), slices.Compact(strict.took()))
				u.requireEmpty()
			})
		})
	}
}
