package bytepath

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/pdata/xpdata/pref"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// lookUp asks for the request behind the signal's marker, or behind real telemetry.
func lookUp(ctx context.Context, signal wire.Signal, marked bool) (*wire.Request, error) {
	switch signal {
	case wire.Traces:
		td := testdata.GenerateTraces(1)
		if marked {
			td = TracesMarker()
		}
		return Traces(ctx, td)
	case wire.Metrics:
		md := testdata.GenerateMetrics(1)
		if marked {
			md = MetricsMarker()
		}
		return Metrics(ctx, md)
	default:
		ld := testdata.GenerateLogs(1)
		if marked {
			ld = LogsMarker()
		}
		return Logs(ctx, ld)
	}
}

func TestAMarkerLeadsToItsRequest(t *testing.T) {
	for _, signal := range []wire.Signal{wire.Traces, wire.Metrics, wire.Logs} {
		t.Run(signal.String(), func(t *testing.T) {
			r, err := wire.Check(signal, mem.BufferSlice{})
			require.NoError(t, err)
			ctx := NewContext(context.Background(), r)

			got, err := lookUp(ctx, signal, true)
			require.NoError(t, err)
			assert.Same(t, r, got)

			got, err = lookUp(ctx, signal, false)
			require.NoError(t, err)
			assert.Nil(t, got, "telemetry stands for itself, whatever the context carries")

			_, err = lookUp(context.Background(), signal, true)
			require.ErrorIs(t, err, ErrNoBytes)

			_, err = lookUp(ctx, (signal+1)%3, true)
			require.ErrorIs(t, err, errSignal)
		})
	}
}

func TestMarkersHoldNoItemsAndCannotBeChanged(t *testing.T) {
	assert.Zero(t, TracesMarker().SpanCount())
	assert.Zero(t, MetricsMarker().DataPointCount())
	assert.Zero(t, LogsMarker().LogRecordCount())
	assert.True(t, TracesMarker().IsReadOnly())
	assert.True(t, MetricsMarker().IsReadOnly())
	assert.True(t, LogsMarker().IsReadOnly())
}

func TestACopyOfAMarkerIsAMarker(t *testing.T) {
	// The fan-out copies read-only values for consumers that change them.
	r, err := wire.Check(wire.Traces, nil)
	require.NoError(t, err)
	ctx := NewContext(context.Background(), r)
	td, md, ld := ptrace.NewTraces(), pmetric.NewMetrics(), plog.NewLogs()
	TracesMarker().CopyTo(td)
	MetricsMarker().CopyTo(md)
	LogsMarker().CopyTo(ld)
	got, err := Traces(ctx, td)
	require.NoError(t, err)
	assert.Same(t, r, got)
	_, err = Metrics(context.Background(), md)
	require.ErrorIs(t, err, ErrNoBytes)
	_, err = Logs(context.Background(), ld)
	require.ErrorIs(t, err, ErrNoBytes)
}

// The graph marks what enters it as its own, without a lock, and unreferences what it marked: it must find nothing to do, or calls at
// the same time end the process.
func TestMarkersBelongToThePipelineAlready(t *testing.T) {
	assert.False(t, pref.MarkPipelineOwnedTraces(TracesMarker()))
	assert.False(t, pref.MarkPipelineOwnedMetrics(MetricsMarker()))
	assert.False(t, pref.MarkPipelineOwnedLogs(LogsMarker()))
}

func TestACallIsOnlyDoneWhenSomebodyTookTheRequest(t *testing.T) {
	for _, signal := range []wire.Signal{wire.Traces, wire.Metrics, wire.Logs} {
		r, err := wire.Check(signal, nil)
		require.NoError(t, err)
		broken := errors.New("broken")

		ctx := NewContext(context.Background(), r)
		below, cancel := context.WithCancel(ctx)
		defer cancel()
		require.ErrorIs(t, Confirm(below, nil), ErrNotTaken)
		require.ErrorIs(t, Confirm(below, broken), broken)
		_, err = lookUp(ctx, (signal+1)%3, true)
		require.Error(t, err)
		_, err = lookUp(ctx, signal, false)
		require.NoError(t, err)
		require.ErrorIs(t, Confirm(below, nil), ErrNotTaken, "who got something else has not taken it")

		_, err = lookUp(below, signal, true)
		require.NoError(t, err)
		require.NoError(t, Confirm(below, nil))
		require.ErrorIs(t, Confirm(ctx, broken), broken)

		inner := NewContext(ctx, r)
		require.ErrorIs(t, Confirm(inner, nil), ErrNotTaken, "each call for itself")
	}
	require.NoError(t, Confirm(context.Background(), nil), "decoded telemetry")
}
