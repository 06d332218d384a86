package adaptivebatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// The refusals. All carry the code UNAVAILABLE (503 over HTTP), which every OTLP client tries again;
// RESOURCE_EXHAUSTED would not be, see https://opentelemetry.io/docs/specs/otlp/#failures.

func errFull(key string, limit, bytes int64) error {
	return status.Errorf(codes.Unavailable, "adaptivebatch: no room for %d bytes: %s of %d bytes is used up", bytes, key, limit)
}

func errMaxWait(d time.Duration) error {
	return status.Errorf(codes.Unavailable, "adaptivebatch: no answer from the next component within max_wait of %s", d)
}

func errTooManyStreams(limit int) error {
	return status.Errorf(codes.Unavailable,
		"adaptivebatch: metadata_cardinality_limit of %d combinations is used up, and none of them is idle", limit)
}

var (
	errShutDown = status.Error(codes.Unavailable, "adaptivebatch: the processor is shutting down")
	errNotSent  = status.Error(codes.Unavailable, "adaptivebatch: not sent within shutdown_timeout")
)

func errLeft(cause error) error { return fmt.Errorf("adaptivebatch: the caller left: %w", cause) }

// outcomeOf tells what an error of the next component says, for exporters that do not report their attempts. Of the joined
// errors of a fan-out the one that says most about the batch counts: content before load before faults of our own.
func outcomeOf(err error) attempt.Outcome {
	if err == nil {
		return attempt.Accepted
	}
	worst := attempt.Canceled
	for _, branch := range branches(err) {
		if o := outcomeOfOne(branch); urgency[o] > urgency[worst] {
			worst = o
		}
	}
	return worst
}

// urgency orders the outcomes of a fan-out.
var urgency = [...]int{
	attempt.TooLarge: 7, attempt.Rejected: 6, attempt.Overloaded: 5, attempt.DeadlineExceeded: 4,
	attempt.Unavailable: 3, attempt.Failed: 2, attempt.Canceled: 1,
}

// branches returns the errors that were joined, or the error alone. Where they are permanent all together, each of them is.
func branches(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		joined, ok := e.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var all []error
		for _, branch := range joined.Unwrap() {
			all = append(all, branches(branch)...)
		}
		if consumererror.IsPermanent(err) && !slices.ContainsFunc(all, consumererror.IsPermanent) {
			for i, branch := range all {
				all[i] = consumererror.NewPermanent(branch)
			}
		}
		return all
	}
	return []error{err}
}

// forCaller returns what a caller is told of an error. Of the joined errors of a fan-out these are the ones after which it sends its telemetry
// again, if there are any: it would give up what the branch that failed for a time never got. What every client sends again comes before what
// only components of this process do, and clients over HTTP.
func forCaller(err error) error {
	if err == nil {
		return nil
	}
	all := branches(err)
	for _, ends := range []func(error) bool{isFinal, consumererror.IsPermanent} {
		rest := slices.DeleteFunc(slices.Clone(all), ends)
		if len(rest) == len(all) {
			return err
		}
		if len(rest) > 0 {
			return errors.Join(rest...)
		}
	}
	return err
}

// isFinal reports whether an error says that the telemetry is not to be sent again, to components of this process or by its status to
// clients, see https://opentelemetry.io/docs/specs/otlp/#failures.
func isFinal(err error) bool {
	st := statusOf(err)
	switch {
	case consumererror.IsPermanent(err):
		return true
	case st == nil:
		return false
	}
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return false
	case codes.ResourceExhausted:
		return !slices.ContainsFunc(st.Details(), func(detail any) bool {
			_, is := detail.(*errdetails.RetryInfo)
			return is
		})
	default:
		return true
	}
}

// statusOf returns the gRPC status that an error carries, or nil.
func statusOf(err error) *status.Status {
	var withStatus interface{ GRPCStatus() *status.Status }
	if errors.As(err, &withStatus) {
		return withStatus.GRPCStatus()
	}
	return nil
}

// outcomeOfOne goes by the gRPC code, unless the exporter says that less might be taken; errors that the stock exporter makes from an HTTP
// status carry the code that belongs to it.
func outcomeOfOne(err error) attempt.Outcome {
	switch {
	case errors.Is(err, attempt.ErrTooLarge):
		return attempt.TooLarge
	case errors.Is(err, context.DeadlineExceeded):
		return attempt.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return attempt.Canceled
	}
	if st := statusOf(err); st != nil {
		return outcomeOfStatus(st)
	}
	if consumererror.IsPermanent(err) {
		return attempt.Rejected
	}
	return attempt.Failed
}

// mayBeContent reports whether an error, or one of the joined errors of a fan-out, is final and has a code that a backend gives when it has
// failed, whether at what it was sent or at all: INTERNAL, UNKNOWN, and what exporters make of HTTP's 500.
func mayBeContent(err error) bool {
	return slices.ContainsFunc(branches(err), func(branch error) bool {
		st := statusOf(branch)
		return consumererror.IsPermanent(branch) && st != nil && (st.Code() == codes.Internal || st.Code() == codes.Unknown)
	})
}

// outcomeOfStatus takes only what is said about the content for a refusal of it: to send to a backend that fails, or that wants less to do,
// what it has not taken twice for each caller would help nobody.
func outcomeOfStatus(st *status.Status) attempt.Outcome {
	if attempt.SaysTooLarge(st) {
		return attempt.TooLarge
	}
	switch st.Code() {
	case codes.InvalidArgument, codes.OutOfRange, codes.DataLoss:
		return attempt.Rejected
	case codes.ResourceExhausted:
		return attempt.Overloaded
	case codes.Unavailable, codes.Aborted:
		return attempt.Unavailable
	case codes.DeadlineExceeded:
		return attempt.DeadlineExceeded
	case codes.Canceled:
		return attempt.Canceled
	default:
		return attempt.Failed
	}
}
