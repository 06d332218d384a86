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
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/profiles"
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

// eachDecodedPath runs a test with what becomes of decoded calls.
func eachDecodedPath(t *testing.T, test func(t *testing.T, path payloadKind)) {
	t.Helper()
	eachPath(t, func(t *testing.T, path payloadKind) {
		if path != encodedKind {
			test(t, path)
		}
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
			eachDecodedPath(t, func(t *testing.T, path payloadKind) {
				next := &backend{answer: func(context.Context, []int64) error { return test.answer }}
				u := start(t, path, next, fixed(10))
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

// goConsume sends a value as it is; the answer comes through the channel.
func (u *underTest) goConsume(td ptrace.Traces) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- u.ConsumeTraces(u.t.Context(), td) }()
	synctest.Wait()
	return answer
}

func TestOfAJoinedBatchEachCallerGetsBackItsOwn(t *testing.T) {
	for name, mutates := range map[string]bool{"that is only read": false, "that is changed": true} {
		t.Run(name, func(t *testing.T) {
			eachDecodedPath(t, func(t *testing.T, path payloadKind) {
				away := errors.New("away")
				next := &backend{answer: func(context.Context, []int64) error { return away }, mutates: mutates && path == decodedKind}
				u := start(t, path, next, all(fixed(60), func(cfg *Config) { cfg.SendBatchMaxSize = 60 }))
				values := []ptrace.Traces{numbered(0, 10), numbered(10, 20), numbered(30, 100)}
				var answers []<-chan error
				for _, td := range values {
					answers = append(answers, u.goConsume(td))
				}
				for _, answer := range answers {
					require.ErrorIs(t, <-answer, away)
				}
				next.answer = nil
				for i, td := range values {
					assert.ElementsMatch(t, [][]int64{sequence(0, 10), sequence(10, 20), sequence(30, 100)}[i], numbersIn(t.Context(), td))
					answers[i] = u.goConsume(td)
				}
				for _, answer := range answers {
					require.NoError(t, <-answer)
				}
				assert.Equal(t, sequence(0, 130), next.took())
				u.requireEmpty()
			})
		})
	}
}

func TestACallerThatIsHeldTooLongGetsBackItsOwnWhileTheBatchIsOnItsWay(t *testing.T) {
	eachDecodedPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(context.Context, []int64) error { time.Sleep(time.Minute); return nil }}
		u := start(t, path, next, all(fixed(20), func(cfg *Config) { cfg.MaxWait = 30 * time.Second }))
		first := numbered(0, 10)
		tooLong := u.goConsume(first)
		time.Sleep(time.Millisecond)
		second := u.goConsume(numbered(10, 10))
		require.ErrorContains(t, <-tooLong, "max_wait")
		requireNoAnswer(t, second)
		assert.Equal(t, sequence(0, 10), numbersIn(t.Context(), first))
		first.ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true })
		require.ErrorContains(t, <-second, "max_wait")
		time.Sleep(time.Minute)
		assert.Equal(t, sequence(0, 20), next.took(), "what is on its way stays whole")
		u.requireEmpty()
	})
}

func TestACallThatLeavesTheQueueIsWhole(t *testing.T) {
	eachDecodedPath(t, func(t *testing.T, path payloadKind) {
		release := make(chan struct{})
		next := &backend{answer: func(context.Context, []int64) error { <-release; return nil }}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.MaxConcurrency = 1 }))
		first := u.goSend(t.Context(), 0, 10)
		td := numbered(10, 10)
		require.ErrorContains(t, u.ConsumeTraces(t.Context(), td), "max_wait")
		assert.Equal(t, sequence(10, 10), numbersIn(t.Context(), td))
		close(release)
		require.Error(t, <-first)
		u.requireEmpty()
	})
}

// A caller may be told while the goroutine that exports is about to join.
func TestWhatWasTakenBackIsNotJoined(t *testing.T) {
	p := newTraces(nil, &backend{})
	a, b := numbered(0, 10), numbered(10, 10)
	first, second := p.signal.take(a), p.signal.take(b)
	second.giveBack(b)
	content := first.join([]payload{first, second}).(*decodedContent[ptrace.Traces])
	assert.Equal(t, sequence(0, 10), numbersIn(t.Context(), content.data))
	assert.Equal(t, sequence(10, 10), numbersIn(t.Context(), b))
}

// A Collector's graph ends the life of a value that nobody owns when the exporter returns, and then it could not be sent again.
func TestABatchIsOwned(t *testing.T) {
	set, err := profiles.Of(sampled(t, "a", 1))
	require.NoError(t, err)
	samples := newProfiles(nil, &profilesBackend{}).signal.payload(set)
	assert.False(t, pref.MarkPipelineOwnedProfiles(samples.join([]payload{samples}).(*decodedContent[*profiles.Set]).data.Profiles))
	traces := newTraces(nil, consumertest.NewNop()).signal.take(numbered(0, 1))
	assert.False(t, pref.MarkPipelineOwnedTraces(traces.join([]payload{traces}).(*decodedContent[ptrace.Traces]).data))
	metrics := newMetrics(nil, consumertest.NewNop()).signal.take(testdata.GenerateMetrics(1))
	assert.False(t, pref.MarkPipelineOwnedMetrics(metrics.join([]payload{metrics}).(*decodedContent[pmetric.Metrics]).data))
	logs := newLogs(nil, consumertest.NewNop()).signal.take(testdata.GenerateLogs(1))
	assert.False(t, pref.MarkPipelineOwnedLogs(logs.join([]payload{logs}).(*decodedContent[plog.Logs]).data))
}

func TestWhatIsRefusedAtTheDoorStays(t *testing.T) {
	eachDecodedPath(t, func(t *testing.T, path payloadKind) {
		release := make(chan struct{})
		next := &backend{answer: func(context.Context, []int64) error { <-release; return nil }}
		u := start(t, path, next, all(fixed(10), func(cfg *Config) { cfg.MaxPendingBytes, cfg.SendBatchMaxBytes, cfg.BlockOnOverflow = 100, 100, false }))
		first := u.goSend(t.Context(), 0, 10)
		td := numbered(10, 10)
		require.ErrorContains(t, u.ConsumeTraces(t.Context(), td), "no room")
		assert.ElementsMatch(t, sequence(10, 10), numbersIn(t.Context(), td))
		close(release)
		require.NoError(t, <-first)
		u.requireEmpty()
	})
}

func TestACallerThatLeftGetsNothingBack(t *testing.T) {
	eachDecodedPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, _ []int64) error { <-ctx.Done(); return ctx.Err() }}
		u := start(t, path, next, fixed(10))
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
