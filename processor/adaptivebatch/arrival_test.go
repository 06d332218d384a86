package adaptivebatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

func TestACallThatWaitsHoldsItsBytesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		u := start(t, arrivalKind, &backend{answer: func(context.Context, []int64) error { <-release; return nil }}, fixed(10))
		td := numbered(0, 1000)
		answer := make(chan error, 1)
		go func() { answer <- u.ConsumeTraces(t.Context(), td) }()
		synctest.Wait()
		assert.Zero(t, td.SpanCount(), "the caller's frames keep the value alive")
		assert.Positive(t, u.bufferSize())
		close(release)
		require.NoError(t, <-answer)
		assert.Zero(t, td.SpanCount())
		u.requireEmpty()
	})
}

// A component in front may send a value again that it got an error for, as receivers of logs with retry_on_failure do.
func TestWhatCanBeSentAgainIsThereAgain(t *testing.T) {
	unavailable, invalid := errors.New("unavailable"), consumererror.NewPermanent(errors.New("invalid"))
	for name, test := range map[string]struct {
		answer error
		left   int
	}{"for a time": {unavailable, 10}, "for ever": {invalid, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &backend{answer: func(context.Context, []int64) error { return test.answer }}
				u := start(t, arrivalKind, next, fixed(10))
				td := numbered(5, 10)
				require.ErrorIs(t, u.ConsumeTraces(t.Context(), td), test.answer)
				require.Equal(t, test.left, td.SpanCount())
				next.answer = nil
				require.NoError(t, u.ConsumeTraces(t.Context(), td))
				if test.left > 0 {
					assert.Equal(t, sequence(5, 10), next.took())
				}
				u.requireEmpty()
			})
		})
	}
}

func TestWhatIsRefusedAtTheDoorStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		next := &backend{answer: func(context.Context, []int64) error { <-release; return nil }}
		u := start(t, arrivalKind, next, all(fixed(10), func(cfg *Config) { cfg.MaxPendingBytes, cfg.SendBatchMaxBytes, cfg.BlockOnOverflow = 100, 100, false }))
		first := u.goSend(t.Context(), 0, 10)
		td := numbered(10, 10)
		require.ErrorContains(t, u.ConsumeTraces(t.Context(), td), "no room")
		assert.Equal(t, 10, td.SpanCount())
		close(release)
		require.NoError(t, <-first)
		u.requireEmpty()
	})
}

func TestACallerThatLeftGetsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, arrivalKind, next, fixed(10))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		td := numbered(0, 10)
		require.Error(t, u.ConsumeTraces(ctx, td))
		assert.Zero(t, td.SpanCount(), "nobody is there to send it again")
	})
}

func TestEverySignalIsEncodedOnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := createDefaultConfig().(*Config)
		fixed(20)(cfg)
		cfg.Encode = EncodeVerified
		set := processortest.NewNopSettings(metadata.Type)
		next := &joinedItems{}
		metrics, err := NewFactory().CreateMetrics(t.Context(), set, cfg, next)
		require.NoError(t, err)
		logs, err := NewFactory().CreateLogs(t.Context(), set, cfg, next)
		require.NoError(t, err)
		for _, consume := range []func() error{
			func() error { return metrics.ConsumeMetrics(t.Context(), testdata.GenerateMetrics(20)) },
			func() error { return logs.ConsumeLogs(t.Context(), testdata.GenerateLogs(20)) },
			func() error { return metrics.ConsumeMetrics(t.Context(), pmetric.NewMetrics()) },
			func() error { return logs.ConsumeLogs(t.Context(), plog.NewLogs()) },
		} {
			require.NoError(t, consume())
		}
		assert.Equal(t, []int{40, 20}, next.sizes)
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

func TestOnlyWhatTheConverterVerifiedIsEncoded(t *testing.T) {
	for _, test := range []struct {
		encode        EncodeMode
		optimizations Optimizations
		want          bool
	}{
		{EncodeAuto, OptimizationsAll, false},
		{EncodeNever, OptimizationsAll, false},
		{EncodeVerified, OptimizationsAll, true},
		{EncodeVerified, OptimizationsNone, false},
	} {
		cfg := &Config{Encode: test.encode, Optimizations: test.optimizations}
		assert.Equal(t, test.want, cfg.encodes(), "%s, %s", test.encode, test.optimizations)
	}
	assert.Equal(t, consumer.Capabilities{MutatesData: true}, capabilities, "or calls could not be emptied")
}
