package generator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const perRequest = 20

type rig struct {
	*Generator
	ledger *ledger.Ledger
	sink   *sink.Sink
}

func newRig(t *testing.T, signal payload.Signal, protocol string, compression otlp.Compression, load Load, phases ...sink.Phase) *rig {
	t.Helper()
	set, err := payload.NewSet(signal, perRequest, 1)
	require.NoError(t, err)
	r := &rig{ledger: ledger.New(perRequest)}
	r.sink, err = sink.Start(sink.Settings{Set: set, Ledger: r.ledger, Content: true, Phases: phases})
	require.NoError(t, err)
	address := r.sink.GRPCAddress()
	if protocol == HTTP {
		address = r.sink.HTTPAddress()
	}
	load.Timeout = max(load.Timeout, 5*time.Second)
	r.Generator = New(Settings{Load: load, Set: set, Ledger: r.ledger, Protocol: protocol, Address: address, Compression: compression})
	t.Cleanup(func() {
		r.Close()
		require.NoError(t, r.sink.Shutdown())
	})
	return r
}

func (r *rig) run(t *testing.T, d time.Duration) {
	t.Helper()
	load, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	r.Begin()
	if r.settings.Load.Mode == Open { // a closed loop may take one more request at the end
		stop := context.AfterFunc(load, r.End)
		defer stop()
	}
	r.Run(t.Context(), load)
}

func TestEveryProtocolSignalAndCompressionArrives(t *testing.T) {
	for _, protocol := range []string{GRPC, HTTP} {
		for _, signal := range payload.Signals {
			for _, compression := range otlp.Compressions {
				t.Run(fmt.Sprintf("%s/%s/%s", protocol, signal, compression), func(t *testing.T) {
					r := newRig(t, signal, protocol, compression, Load{Mode: Closed, Clients: 4, Connections: 2})
					r.run(t, 50*time.Millisecond)
					counts := r.ledger.Count()
					assert.Positive(t, counts.Sent)
					assert.Equal(t, ledger.Counts{Sent: counts.Sent, Acknowledged: counts.Sent, Received: counts.Sent}, counts)
					assert.Equal(t, counts.Sent, r.Statistics().Acknowledged)
					assert.EqualValues(t, counts.Sent/perRequest, r.Latencies().TotalCount())
				})
			}
		}
	}
}

func TestAnOpenLoopKeepsItsRate(t *testing.T) {
	r := newRig(t, payload.Logs, GRPC, otlp.None, Load{Mode: Open, Clients: 8, Connections: 2, Rate: 20_000})
	r.run(t, 500*time.Millisecond)
	assert.InDelta(t, 10_000, float64(r.ledger.Count().Sent), 1000)
	assert.EqualValues(t, r.ledger.Count().Sent/perRequest, r.Lags().TotalCount())
}

// TestLatencyCountsFromTheIntendedMoment stalls the receiver: one client cannot send meanwhile, but the requests that were due all the same
// have waited.
func TestLatencyCountsFromTheIntendedMoment(t *testing.T) {
	r := newRig(t, payload.Logs, GRPC, otlp.None, Load{Mode: Open, Clients: 1, Connections: 1, Rate: 2000},
		sink.Phase{Latency: 50 * time.Millisecond})
	r.run(t, 300*time.Millisecond) // due every 10 ms, served every 50 ms
	assert.Greater(t, r.Latencies().ValueAtPercentile(50), int64(300_000))
	assert.Greater(t, r.Lags().ValueAtPercentile(90), int64(500_000), "the generator says that it fell behind")
	assert.EqualValues(t, r.ledger.Count().Sent/perRequest, r.Latencies().TotalCount(), "those too that waited for a client when the load ended")
	assert.EqualValues(t, r.ledger.Count().Sent/perRequest, r.Lags().TotalCount())
}

// TestWhatIsMeasuredIsDueWithin sends requests later than they were due, as clients do that work off a backlog.
func TestWhatIsMeasuredIsDueWithin(t *testing.T) {
	r := newRig(t, payload.Logs, GRPC, otlp.None, Load{Mode: Open, Clients: 1, Connections: 1, Rate: 2000})
	send := func(due time.Time, want int64) {
		t.Helper()
		r.request(t.Context(), 0, due)
		assert.Equal(t, want, r.Latencies().TotalCount())
		assert.Equal(t, want, r.Lags().TotalCount())
	}
	warmup := time.Now()
	send(warmup, 0)
	r.Begin()
	within := time.Now()
	send(warmup, 0)
	send(within, 1)
	r.End()
	send(within, 2)
	send(time.Now(), 2)
}

func TestTooManyDueRequestsAreSkippedAndCounted(t *testing.T) {
	r := newRig(t, payload.Logs, GRPC, otlp.None, Load{Mode: Open, Clients: 1, Connections: 1, Rate: 20 * 1e6}, sink.Phase{Latency: 10 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r.Run(ctx, ctx)
	assert.Positive(t, r.Statistics().Skipped)
}

func TestRetryableFailuresAreSentAgainUntilTheyArrive(t *testing.T) {
	for _, protocol := range []string{GRPC, HTTP} {
		retry := Retry{Initial: time.Millisecond, Max: 5 * time.Millisecond, MaxElapsed: time.Minute}
		r := newRig(t, payload.Traces, protocol, otlp.None, Load{Mode: Closed, Clients: 4, Connections: 2, Retry: retry},
			sink.Phase{FailRatio: 0.7, FailCode: "UNAVAILABLE"})
		r.run(t, 100*time.Millisecond)
		counts, stats := r.ledger.Count(), r.Statistics()
		assert.Equal(t, counts.Sent, counts.Acknowledged)
		assert.Positive(t, stats.Failures)
		assert.Equal(t, counts.Sent/perRequest, stats.Attempts-stats.Failures)
		kind := codes.Unavailable.String()
		if protocol == HTTP {
			kind = "503 Service Unavailable"
		}
		assert.Equal(t, map[string]uint64{kind: stats.Failures}, stats.Errors)
	}
}

func TestAThrottledClientWaitsAsLongAsItIsTold(t *testing.T) {
	for _, protocol := range []string{GRPC, HTTP} {
		retry := Retry{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: 500 * time.Millisecond}
		r := newRig(t, payload.Traces, protocol, otlp.None, Load{Mode: Closed, Clients: 1, Connections: 1, Retry: retry},
			sink.Phase{FailRatio: 1, FailCode: "RESOURCE_EXHAUSTED", RetryAfter: time.Second})
		r.run(t, 20*time.Millisecond)
		stats := r.Statistics()
		assert.Equal(t, stats.Attempts, r.ledger.Count().Refused/perRequest, "the wait is beyond the time that a request has, so none was tried twice")
	}
}

func TestPermanentFailuresAreGivenUp(t *testing.T) {
	for _, code := range []string{"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} {
		retry := Retry{Initial: time.Millisecond, Max: time.Millisecond, MaxElapsed: time.Minute}
		r := newRig(t, payload.Traces, GRPC, otlp.None, Load{Mode: Closed, Clients: 1, Connections: 1, Retry: retry}, sink.Phase{FailRatio: 1, FailCode: code})
		r.run(t, 20*time.Millisecond)
		counts := r.ledger.Count()
		assert.Equal(t, counts.Sent, counts.Refused)
		assert.Zero(t, counts.Acknowledged)
		assert.Zero(t, r.Latencies().TotalCount(), "what was not acknowledged has no latency")
	}
}

func TestAnEndedContextEndsEverything(t *testing.T) {
	retry := Retry{Initial: time.Hour, Max: time.Hour, MaxElapsed: 2 * time.Hour}
	r := newRig(t, payload.Traces, HTTP, otlp.None, Load{Mode: Closed, Clients: 2, Connections: 1, Retry: retry}, sink.Phase{FailRatio: 1, FailCode: "UNAVAILABLE"})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r.Run(ctx, ctx)
	assert.Equal(t, r.ledger.Count().Sent, r.ledger.Count().Refused)
}

func TestRetriesAreSpreadAndRepeatable(t *testing.T) {
	waits := map[time.Duration]bool{}
	for request := range uint64(20) {
		for attempt := range uint64(5) {
			wait := jitter(time.Second, 7, request, attempt)
			assert.Equal(t, wait, jitter(time.Second, 7, request, attempt))
			assert.NotEqual(t, wait, jitter(time.Second, 8, request, attempt))
			assert.GreaterOrEqual(t, wait, time.Second/2)
			assert.LessOrEqual(t, wait, time.Second)
			waits[wait] = true
		}
	}
	assert.Greater(t, len(waits), 90)
	assert.Zero(t, jitter(0, 1, 2, 3))
}

func TestPartialSuccessIsRead(t *testing.T) {
	// field 1 (partial_success) with field 1 (rejected items) = 3
	for _, signal := range payload.Signals {
		rejected, failed := rejectedItems(signal, []byte{0x0a, 0x02, 0x08, 0x03})
		assert.Nil(t, failed)
		assert.EqualValues(t, 3, rejected)
		_, failed = rejectedItems(signal, []byte{0xff})
		assert.NotNil(t, failed)
	}
}

func TestErrorsAreCountedByStatusAndBounded(t *testing.T) {
	var e errorCounts
	e.add(&sendError{err: status.Error(codes.Aborted, "one")})
	e.add(&sendError{err: status.Error(codes.Aborted, "two")})
	for i := range 2 * maxErrorKinds {
		e.add(fmt.Errorf("address %d", i))
	}
	assert.EqualValues(t, 2, e.counts["Aborted"])
	assert.Len(t, e.counts, maxErrorKinds+1)
	assert.EqualValues(t, maxErrorKinds+1, e.counts["other"])
	cause := errors.New("cause")
	require.ErrorIs(t, &sendError{err: cause}, cause)
}

func TestABufferIsReusedAndNeverTooSmall(t *testing.T) {
	var p bufferPool
	b := p.Get(100)
	assert.Len(t, *b, 100)
	p.Put(b)
	assert.Len(t, *p.Get(50), 50)
	p.Put(b)
	assert.Len(t, *p.Get(200), 200)
}

// BenchmarkGenerator is the CPU that generator and backend take together, which must stay below a third of a Collector's.
func BenchmarkGenerator(b *testing.B) {
	set, err := payload.NewSet(payload.Traces, 100, 1)
	require.NoError(b, err)
	l := ledger.New(100)
	s, err := sink.Start(sink.Settings{Set: set, Ledger: l})
	require.NoError(b, err)
	defer s.Shutdown()
	g := New(Settings{
		Load: Load{Clients: 1, Connections: 1, Timeout: time.Second}, Set: set, Ledger: l, Protocol: GRPC, Address: s.GRPCAddress(), Compression: otlp.None,
	})
	defer g.Close()
	b.ReportAllocs()
	for b.Loop() {
		g.request(b.Context(), 0, time.Time{})
	}
}
