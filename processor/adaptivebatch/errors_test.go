package adaptivebatch

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.uber.org/multierr"
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
