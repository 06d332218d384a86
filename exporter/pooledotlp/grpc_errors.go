package pooledotlp

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// verdict is what an answer means.
type verdict struct {
	outcome attempt.Outcome
	// err is for the exporter helper and for our own clients: nil, permanent, retryable, or retryable after a delay.
	err error
	// delay is how long the backend asks to wait before the next try; 0 where it does not say.
	delay time.Duration
	// mayBeCompression says that the peer possibly does not know the compression of the request: the codes for that are
	// also used for other faults, so only sending it again uncompressed can tell.
	mayBeCompression bool
}

// judgeGRPC applies the table of https://opentelemetry.io/docs/specs/otlp/#failures to the error of a call.
//
// A client that is told "unauthenticated" gives its data up. But the credentials that the backend refused are ours, not
// the client's; so are the address and the service behind it. Such faults go back as Unavailable, and are retried, until
// someone mends our configuration.
func judgeGRPC(err error, retryResourceExhausted bool) verdict {
	if err == nil {
		return verdict{outcome: attempt.Accepted}
	}
	st := status.Convert(err)
	delay, hasRetryInfo := retryDelay(st)
	retryable := func(outcome attempt.Outcome) verdict {
		if delay > 0 {
			return verdict{outcome: outcome, err: exporterhelper.NewThrottleRetry(err, delay), delay: delay}
		}
		return verdict{outcome: outcome, err: err}
	}
	switch st.Code() {
	case codes.OK:
		return verdict{outcome: attempt.Accepted}
	case codes.Canceled:
		return retryable(attempt.Canceled)
	case codes.DeadlineExceeded:
		return retryable(attempt.DeadlineExceeded)
	case codes.Unavailable:
		if hasRetryInfo {
			return retryable(attempt.Overloaded)
		}
		return retryable(attempt.Unavailable)
	case codes.Aborted, codes.OutOfRange, codes.DataLoss:
		return retryable(attempt.Failed)
	case codes.ResourceExhausted:
		switch {
		case attempt.SaysTooLarge(st):
			// A client that is told RESOURCE_EXHAUSTED would send it again.
			return permanent(attempt.TooLarge, tooLargeError{status.Error(codes.InvalidArgument, st.Message())})
		case hasRetryInfo:
			return retryable(attempt.Overloaded)
		case retryResourceExhausted:
			return verdict{outcome: attempt.Overloaded, err: addRetryInfo(st, 0).Err()}
		}
		return permanent(attempt.Overloaded, err)
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return verdict{
			outcome:          attempt.Failed,
			err:              ownHopFault(err),
			mayBeCompression: st.Code() == codes.Unimplemented,
		}
	case codes.InvalidArgument:
		return permanent(attempt.Rejected, err)
	default:
		return permanent(attempt.Failed, err)
	}
}

func permanent(outcome attempt.Outcome, err error) verdict {
	return verdict{outcome: outcome, err: consumererror.NewPermanent(err)}
}

// tooLargeError says that less might be accepted.
type tooLargeError struct{ error }

func (e tooLargeError) Unwrap() error { return e.error }

// Is lets a batcher in front know: the code is the one for clients, that of data which is refused.
func (tooLargeError) Is(target error) bool { return target == attempt.ErrTooLarge }

// ownHopFault tells our clients that the way is closed, not that their data is bad.
func ownHopFault(err error) error {
	return status.Error(codes.Unavailable, fmt.Sprintf("the backend refused this Collector, not the data: %v", err))
}

// addRetryInfo adds the delay to a status. It is how a gRPC client of ours learns that it may send again: to it, RESOURCE_EXHAUSTED
// without one means that the data is lost.
func addRetryInfo(st *status.Status, delay time.Duration) *status.Status {
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil {
		return detailed
	}
	return st
}

// retryDelay returns the delay of a google.rpc.RetryInfo, and whether there is one.
func retryDelay(st *status.Status) (time.Duration, bool) {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}
