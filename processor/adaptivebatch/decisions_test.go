package adaptivebatch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

func TestDebugLogTellsWhatWasDecidedAndWhy(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		core, logs := observer.New(zapcore.DebugLevel)
		set := processortest.NewNopSettings(metadata.Type)
		set.Logger = zap.New(core)
		busy := true
		next := &backend{answer: func(context.Context, []int64) error {
			time.Sleep(roundTrip)
			if busy {
				return status.Error(codes.ResourceExhausted, "slow down")
			}
			return nil
		}}
		u := startWith(t, path, set, next, nil)
		require.Error(t, u.send(t.Context(), 0, 50))
		lines := logs.FilterField(zap.String("reason", "overload")).All()
		require.Len(t, lines, 1)
		fields := lines[0].ContextMap()
		assert.Equal(t, "overloaded", fields["outcome"])
		assert.EqualValues(t, 50, fields["items"])
		assert.Equal(t, "10ms", fields["latency"])
		assert.IsType(t, "", fields["linger"])
		assert.EqualValues(t, 1, fields["cap"])

		busy = false
		before := logs.Len()
		for i := range 20 {
			require.NoError(t, u.send(t.Context(), 100*i, 50))
		}
		assert.LessOrEqual(t, logs.Len()-before, 3, "the same decision is not told again")
	})
}

func TestWithoutDebugLevelDecisionsAreNotLogged(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		core, logs := observer.New(zapcore.InfoLevel)
		set := processortest.NewNopSettings(metadata.Type)
		set.Logger = zap.New(core)
		u := startWith(t, path, set, &backend{}, nil)
		before := logs.Len()
		require.NoError(t, u.send(t.Context(), 0, 50))
		assert.Equal(t, before, logs.Len())
	})
}
