package attempt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

func TestSizeLimitsAreKnownByTheirTexts(t *testing.T) {
	const limit, of413 = "grpc: received message larger than max (9 vs. 8)", "request to http://x/v1/logs responded with HTTP Status Code 413"
	for st, want := range map[*status.Status]bool{
		status.New(codes.ResourceExhausted, limit):                                        true,
		status.New(codes.ResourceExhausted, "Received message larger than max (9 vs. 8)"): true,
		status.New(codes.ResourceExhausted, "gRPC message exceeds maximum size 8: 9"):     true,
		status.New(codes.Unknown, of413):                                                  true,
		status.New(codes.ResourceExhausted, "quota exceeded"):                             false,
		status.New(codes.InvalidArgument, limit):                                          false,
		status.New(codes.Unknown, "HTTP Status Code 500"):                                 false,
	} {
		assert.Equal(t, want, SaysTooLarge(st), st)
	}
}
