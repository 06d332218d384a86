package adaptivebatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.uber.org/multierr"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

func TestWhatAnErrorSays(t *testing.T) {
	withCode := func(code codes.Code) error { return status.Error(code, "x") }
	for _, c := range []struct {
		err  error
		want attempt.Outcome
	}{
		{nil, attempt.Accepted},
		{errors.New("x"), attempt.Failed},
		{consumererror.NewPermanent(errors.New("x")), attempt.Rejected},
		{context.DeadlineExceeded, attempt.DeadlineExceeded},
		{fmt.Errorf("x: %w", context.Canceled), attempt.Canceled},
		{withCode(codes.Unavailable), attempt.Unavailable},
		{withCode(codes.Aborted), attempt.Unavailable},
		{withCode(codes.DeadlineExceeded), attempt.DeadlineExceeded},
		{withCode(codes.Canceled), attempt.Canceled},
		{withCode(codes.ResourceExhausted), attempt.Overloaded},
		{permanent(codes.ResourceExhausted), attempt.Overloaded},
		{consumererror.NewPermanent(status.Error(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 8)")), attempt.TooLarge},
		{consumererror.NewPermanent(status.Error(codes.Unknown, "x responded with HTTP Status Code 413")), attempt.TooLarge},
		{errTooLarge(), attempt.TooLarge},
		{fmt.Errorf("not retryable error: %w", errTooLarge()), attempt.TooLarge},
		{errors.Join(nil, errTooLarge()), attempt.TooLarge},
		{permanent(codes.InvalidArgument), attempt.Rejected},
		{withCode(codes.OutOfRange), attempt.Rejected},
		{permanent(codes.DataLoss), attempt.Rejected},
		{permanent(codes.Unauthenticated), attempt.Failed},
		{permanent(codes.PermissionDenied), attempt.Failed},
		{permanent(codes.Unimplemented), attempt.Failed},
		{permanent(codes.NotFound), attempt.Failed},
		{permanent(codes.Unknown), attempt.Failed},
		{permanent(codes.Internal), attempt.Failed},
		{errors.Join(withCode(codes.Unavailable), permanent(codes.InvalidArgument)), attempt.Rejected},
		{multierr.Append(withCode(codes.Unavailable), errors.New("x")), attempt.Unavailable},
		{fmt.Errorf("x: %w", errors.Join(errTooLarge(), permanent(codes.InvalidArgument))), attempt.TooLarge},
		{errors.Join(context.Canceled, context.Canceled), attempt.Canceled},
	} {
		assert.Equal(t, c.want, outcomeOf(c.err), "%v", c.err)
	}
}

func TestWhatACallerIsToldOfAFanOut(t *testing.T) {
	refused, away, plain := permanent(codes.InvalidArgument), status.Error(codes.Unavailable, "away"), errors.New("x")
	raw, throttled := status.Error(codes.PermissionDenied, "no"), status.Error(codes.ResourceExhausted, "later")
	withDelay, err := status.New(codes.ResourceExhausted, "later").WithDetails(&errdetails.RetryInfo{})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		joined, want []error
	}{
		"refused, and away":                       {[]error{refused, away}, []error{away}},
		"refused, and failed without a status":    {[]error{refused, plain}, []error{plain}},
		"refused, and throttled":                  {[]error{refused, throttled}, []error{throttled}},
		"a status that clients do not send again": {[]error{raw, away}, []error{away}},
		"throttled without a delay, and away":     {[]error{throttled, away}, []error{away}},
		"throttled with a delay, and refused":     {[]error{withDelay.Err(), refused}, []error{withDelay.Err()}},
		"two of three":                            {[]error{refused, plain, away}, []error{plain, away}},
		"refused by both":                         {[]error{refused, permanent(codes.Internal)}, []error{refused, permanent(codes.Internal)}},
		"away both":                               {[]error{away, plain}, []error{away, plain}},
	} {
		t.Run(name, func(t *testing.T) {
			want := errors.Join(c.want...)
			for range 2 {
				for _, joined := range []error{multierr.Combine(c.joined...), fmt.Errorf("x: %w", errors.Join(c.joined...))} {
					told := forCaller(joined)
					assert.Equal(t, consumererror.IsPermanent(want), consumererror.IsPermanent(told))
					if len(c.want) < len(c.joined) {
						assert.EqualError(t, told, want.Error())
					} else {
						assert.Equal(t, joined, told, "it is handed on as it is")
					}
				}
				slices.Reverse(c.joined)
				slices.Reverse(c.want)
				want = errors.Join(c.want...)
			}
		})
	}
	together := consumererror.NewPermanent(errors.Join(away, plain))
	assert.Equal(t, together, forCaller(together), "what joined them calls all of it permanent")
	assert.Equal(t, attempt.Rejected, outcomeOf(consumererror.NewPermanent(errors.Join(plain, plain))))
	assert.NoError(t, forCaller(nil))
}
