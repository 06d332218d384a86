package attempt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestReportReachesTheObserverOfTheContext(t *testing.T) {
	var got []Attempt
	ctx := NewContext(context.Background(), func(a Attempt) { got = append(got, a) })
	want := Attempt{Items: 100, Bytes: 4096, Latency: 3 * time.Millisecond, Outcome: Overloaded}

	Report(context.WithoutCancel(ctx), want)

	assert.True(t, Observed(ctx))
	assert.Equal(t, []Attempt{want}, got)
}

func TestReportWithoutAnObserverDoesNothing(t *testing.T) {
	assert.False(t, Observed(context.Background()))
	assert.NotPanics(t, func() { Report(context.Background(), Attempt{Items: 1}) })
}

func TestOutcomeNames(t *testing.T) {
	assert.Equal(t, "accepted", Accepted.String())
	assert.Equal(t, "canceled", Canceled.String())
	assert.Equal(t, "unknown", Outcome(200).String())
	assert.Len(t, outcomeNames, int(Canceled)+1)
}
