package pooledotlp

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

func withRetryInfo(t *testing.T, code codes.Code, delay time.Duration) error {
	t.Helper()
	st, err := status.New(code, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	require.NoError(t, err)
	return st.Err()
}

// The table of the OTLP specification, https://opentelemetry.io/docs/specs/otlp/#failures, and what is ours beyond it.
func TestGRPCStatusMatrix(t *testing.T) {
	rows := map[string]struct {
		answer  error
		keys    map[string]any
		retried bool
		told    codes.Code
		outcome attempt.Outcome
	}{
		"unavailable":                       {answer: status.Error(codes.Unavailable, ""), retried: true, told: codes.Unavailable, outcome: attempt.Unavailable},
		"unavailable with RetryInfo":        {answer: withRetryInfo(t, codes.Unavailable, time.Millisecond), retried: true, told: codes.Unavailable, outcome: attempt.Overloaded},
		"deadline exceeded":                 {answer: status.Error(codes.DeadlineExceeded, ""), retried: true, told: codes.DeadlineExceeded, outcome: attempt.DeadlineExceeded},
		"aborted":                           {answer: status.Error(codes.Aborted, ""), retried: true, told: codes.Aborted, outcome: attempt.Failed},
		"out of range":                      {answer: status.Error(codes.OutOfRange, ""), retried: true, told: codes.OutOfRange, outcome: attempt.Failed},
		"data loss":                         {answer: status.Error(codes.DataLoss, ""), retried: true, told: codes.DataLoss, outcome: attempt.Failed},
		"canceled":                          {answer: status.Error(codes.Canceled, ""), retried: true, told: codes.Canceled, outcome: attempt.Canceled},
		"resource exhausted with RetryInfo": {answer: withRetryInfo(t, codes.ResourceExhausted, time.Millisecond), retried: true, told: codes.ResourceExhausted, outcome: attempt.Overloaded},
		"resource exhausted with an empty RetryInfo": {
			answer: withRetryInfo(t, codes.ResourceExhausted, 0), keys: map[string]any{"retry_resource_exhausted": false},
			retried: true, told: codes.ResourceExhausted, outcome: attempt.Overloaded,
		},
		"resource exhausted": {answer: status.Error(codes.ResourceExhausted, ""), retried: true, told: codes.ResourceExhausted, outcome: attempt.Overloaded},
		"resource exhausted, not to be retried": {
			answer: status.Error(codes.ResourceExhausted, ""), keys: map[string]any{"retry_resource_exhausted": false},
			told: codes.ResourceExhausted, outcome: attempt.Overloaded,
		},
		"too large":           {answer: status.Error(codes.ResourceExhausted, "grpc: received message larger than max (9 vs. 8)"), told: codes.InvalidArgument, outcome: attempt.TooLarge},
		"too large, in Java":  {answer: status.Error(codes.ResourceExhausted, "gRPC message exceeds maximum size 8: 9"), told: codes.InvalidArgument, outcome: attempt.TooLarge},
		"invalid argument":    {answer: status.Error(codes.InvalidArgument, ""), told: codes.InvalidArgument, outcome: attempt.Rejected},
		"unauthenticated":     {answer: status.Error(codes.Unauthenticated, ""), retried: true, told: codes.Unavailable, outcome: attempt.Failed},
		"permission denied":   {answer: status.Error(codes.PermissionDenied, ""), retried: true, told: codes.Unavailable, outcome: attempt.Failed},
		"unimplemented":       {answer: status.Error(codes.Unimplemented, ""), retried: true, told: codes.Unavailable, outcome: attempt.Failed},
		"internal":            {answer: status.Error(codes.Internal, ""), told: codes.Internal, outcome: attempt.Failed},
		"unknown":             {answer: status.Error(codes.Unknown, ""), told: codes.Unknown, outcome: attempt.Failed},
		"not found":           {answer: status.Error(codes.NotFound, ""), told: codes.NotFound, outcome: attempt.Failed},
		"already exists":      {answer: status.Error(codes.AlreadyExists, ""), told: codes.AlreadyExists, outcome: attempt.Failed},
		"failed precondition": {answer: status.Error(codes.FailedPrecondition, ""), told: codes.FailedPrecondition, outcome: attempt.Failed},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
				calls.Add(1)
				return ptraceotlp.NewExportResponse(), row.answer
			})
			keys := map[string]any{
				"endpoint":         endpoint,
				"retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms", "max_elapsed_time": "40ms"},
			}
			for k, v := range row.keys {
				keys[k] = v
			}
			e := startTracesExporter(t, keys)
			ctx, seen := observed(context.Background())

			err := e.ConsumeTraces(ctx, spans(1))

			st, ok := status.FromError(err)
			require.True(t, ok, "the receiver in front reads the code from the error chain: %v", err)
			assert.Equal(t, row.told, st.Code())
			assert.Equal(t, !row.retried, consumererror.IsPermanent(err))
			assert.Equal(t, row.retried, calls.Load() > 1)
			assert.Equal(t, row.outcome, seen.outcomes()[0])
		})
	}
}

func TestTheDelayOfRetryInfoIsKept(t *testing.T) {
	var first, second time.Time
	endpoint := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		if first.IsZero() {
			first = time.Now()
			return ptraceotlp.NewExportResponse(), withRetryInfo(t, codes.ResourceExhausted, 200*time.Millisecond)
		}
		second = time.Now()
		return ptraceotlp.NewExportResponse(), nil
	})
	e := startTracesExporter(t, map[string]any{
		"endpoint": endpoint, "retry_on_failure": map[string]any{"initial_interval": "1ms", "max_interval": "1ms"},
	})
	ctx, seen := observed(context.Background())
	require.NoError(t, e.ConsumeTraces(ctx, spans(1)))
	assert.GreaterOrEqual(t, second.Sub(first), 200*time.Millisecond)
	assert.Equal(t, 200*time.Millisecond, seen.list[0].RetryAfter, "the batcher hears of it")
	assert.Zero(t, seen.list[1].RetryAfter)
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	e := startTracesExporter(t, map[string]any{"endpoint": freeAddress(t), "retry_on_failure": map[string]any{"enabled": false}})
	ctx, seen := observed(context.Background())
	err := e.ConsumeTraces(ctx, spans(1))
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.False(t, consumererror.IsPermanent(err))
	assert.Equal(t, []attempt.Outcome{attempt.Unavailable}, seen.outcomes())
}

func TestATryEndsAtTheTimeout(t *testing.T) {
	endpoint := startBackend(t, func(ctx context.Context, _ ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		<-ctx.Done()
		return ptraceotlp.NewExportResponse(), ctx.Err()
	})
	e := startTracesExporter(t, map[string]any{"endpoint": endpoint, "timeout": "20ms", "retry_on_failure": map[string]any{"enabled": false}})
	ctx, seen := observed(context.Background())
	err := e.ConsumeTraces(ctx, spans(1))
	assert.Equal(t, codes.DeadlineExceeded, status.Code(err))
	assert.Equal(t, []attempt.Outcome{attempt.DeadlineExceeded}, seen.outcomes())
}

func TestAMessageBeyondTheServersLimitIsTooLarge(t *testing.T) {
	endpoint := startBackend(t, accept, grpc.MaxRecvMsgSize(1000))
	for _, algorithm := range []string{"none", "gzip"} {
		e := startTracesExporter(t, map[string]any{"endpoint": endpoint, "compression": algorithm})
		ctx, seen := observed(context.Background())
		err := e.ConsumeTraces(ctx, spans(1000))
		st, _ := status.FromError(err)
		assert.Equal(t, codes.InvalidArgument, st.Code())
		assert.True(t, consumererror.IsPermanent(err))
		assert.Equal(t, []attempt.Outcome{attempt.TooLarge}, seen.outcomes(), algorithm)
	}
}
