package adaptivebatch

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// All slots are taken by batches whose first try fails, and whose second comes after five seconds. What waits behind them is sent as soon as
// the backend may be sent to.
func TestBatchesThatWaitForTheirRetryHoldUpNobody(t *testing.T) {
	const backOff = 5 * time.Second
	for _, c := range []struct {
		name    string
		failed  []attempt.Attempt // one after the other, roundTrip apart
		waiting time.Duration     // after the last
	}{
		{"unavailable", []attempt.Attempt{{Outcome: attempt.Unavailable}}, 0},
		{"no answer", []attempt.Attempt{{Outcome: attempt.DeadlineExceeded}}, 0},
		{"overloaded, asks for peace", []attempt.Attempt{asksFor(100 * time.Millisecond)}, 100 * time.Millisecond},
		{"overloaded, asks for more than the back-off", []attempt.Attempt{asksFor(time.Hour)}, backOff},
		{"overloaded, says nothing", []attempt.Attempt{asksFor(0)}, backOff},
		{"overloaded, asks for peace and then says nothing", []attempt.Attempt{asksFor(2 * roundTrip), asksFor(0)}, backOff},
		{"overloaded, asks for peace again", []attempt.Attempt{asksFor(2 * roundTrip), asksFor(3 * roundTrip)}, 3 * roundTrip},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachPath(t, func(t *testing.T, path payloadKind) {
				const slots = 48 // for full batches, at the start; 64 are the most
				var exports atomic.Int32
				var began time.Time
				next := &backend{answer: func(ctx context.Context, spans []int64) error {
					switch n := exports.Add(1); {
					case n <= slots:
						for _, failed := range c.failed {
							failed.Items, failed.Latency = len(spans), roundTrip
							time.Sleep(roundTrip)
							attempt.Report(ctx, failed)
						}
						time.Sleep(backOff)
					case n == slots+1:
						began = time.Now()
					}
					attempt.Report(ctx, attempt.Attempt{Items: len(spans), Latency: roundTrip, Outcome: attempt.Accepted})
					return nil
				}}
				u := start(t, path, next, func(cfg *Config) { cfg.SendBatchMinSize, cfg.SendBatchSize, cfg.SendBatchMaxSize = 1, 1, 1 })
				sent := time.Now()
				var answers []<-chan error
				for i := range 5 * slots {
					answers = append(answers, u.goSend(t.Context(), i, 1))
				}
				for _, answer := range answers {
					require.NoError(t, <-answer)
				}
				assert.Equal(t, time.Duration(len(c.failed))*roundTrip+c.waiting, began.Sub(sent))
				assert.Equal(t, sequence(0, 5*slots), next.took())
				u.mu.Lock()
				defer u.mu.Unlock()
				assert.Zero(t, u.inFlight)
			})
		})
	}
}

func TestABatchIsNotKeptForTheTimeThatAnEarlierAttemptWasAskedFor(t *testing.T) {
	u := start(t, decodedKind, &backend{}, nil)
	e := &batch{stream: &stream{}}
	for _, later := range []attempt.Attempt{asksFor(time.Minute), {Outcome: attempt.Accepted}} {
		for _, a := range []attempt.Attempt{asksFor(time.Hour), later} {
			earlier := e.peace
			a.Items, a.Latency = 1, roundTrip
			u.observe(e, a)
			if earlier != nil {
				assert.False(t, earlier.Stop(), "its timer is stopped, and holds the batch no longer")
			}
		}
	}
}

// asksFor is an attempt that an overloaded backend has refused, and for how long it asks to be left in peace.
func asksFor(peace time.Duration) attempt.Attempt {
	return attempt.Attempt{Outcome: attempt.Overloaded, RetryAfter: peace}
}
