package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func adaptive() Config {
	return Config{Adaptive: true, StartItems: 100, MinItems: 10, MaxItems: 2000, Timeout: 200 * time.Millisecond, MaxConcurrency: 64}
}

// feed lets the controller see accepted requests of the given sizes, one a second, at a backend with a fixed and a per-item
// cost.
func feed(c *Controller, fixed, perItem time.Duration, sizes ...int) {
	last := c.model.at
	if last.IsZero() {
		last = epoch
	}
	for i, n := range sizes {
		c.Observe(Observation{
			Attempt:  attempt.Attempt{Items: n, Latency: fixed + time.Duration(n)*perItem, Outcome: attempt.Accepted},
			InFlight: 1, Now: last.Add(time.Duration(i+1) * time.Second),
		})
	}
}

// sizes returns n sizes that go round from 50 to 150.
func sizes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 50 + i%3*50
	}
	return out
}

func TestFixedControllerNeverMoves(t *testing.T) {
	c := New(Config{StartItems: 100, MaxItems: 200, Timeout: time.Second, MaxConcurrency: 7})
	want := Decision{Target: 100, Ceiling: 200, Linger: time.Second, Limit: 7, Cap: 7, Most: 7, Reason: Fixed}
	assert.Equal(t, want, c.Decision())
	feed(c, time.Millisecond, 0, sizes(100)...)
	c.Waited(time.Second)
	c.Observe(Observation{Attempt: attempt.Attempt{Items: 100, Outcome: attempt.TooLarge}})
	assert.Equal(t, want, c.Decision())
}

func TestTargetGoesToTheKnee(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 50*time.Microsecond, sizes(50)...)
	assert.InDelta(t, kneeFactor*10_000/50, c.Decision().Target, 5)
	assert.Equal(t, Knee, c.Decision().Reason)

	feed(c, 10*time.Millisecond, time.Millisecond, sizes(500)...)
	assert.InDelta(t, kneeFactor*10, c.Decision().Target, 2, "it follows when items become dear")
}

func TestTargetStaysWithinItsBounds(t *testing.T) {
	c := New(adaptive())
	feed(c, 10*time.Millisecond, 0, sizes(50)...)
	assert.Equal(t, 2000, c.Decision().Target, "items that cost nothing")
	feed(c, 0, time.Millisecond, sizes(1000)...)
	assert.Equal(t, 10, c.Decision().Target, "requests that cost nothing")
}

func TestRequestsOfOneSizeSayNothingAboutTheKnee(t *testing.T) {
	c := New(adaptive())
	for range 100 {
		feed(c, 10*time.Millisecond, time.Microsecond, 100)
	}
	assert.Equal(t, 100, c.Decision().Target)
}

func TestLingerIsAShareOfTheLatency(t *testing.T) {
	c := New(adaptive())
	assert.Zero(t, c.Decision().Linger, "nothing is known yet")
	feed(c, 100*time.Millisecond, 0, 100)
	assert.Equal(t, 10*time.Millisecond, c.Decision().Linger)
	c = New(adaptive())
	feed(c, 100*time.Second, 0, 100)
	assert.Equal(t, 200*time.Millisecond, c.Decision().Linger, "never longer than the time-out")
}

func TestWhatIsNotAboutTheBackendIsIgnored(t *testing.T) {
	c := New(adaptive())
	before := c.Decision()
	for _, outcome := range []attempt.Outcome{attempt.Unavailable, attempt.Rejected, attempt.Failed, attempt.Canceled} {
		c.Observe(Observation{Attempt: attempt.Attempt{Items: 100, Latency: time.Second, Outcome: outcome}, InFlight: 4, Now: epoch})
	}
	c.Observe(Observation{Attempt: attempt.Attempt{Latency: time.Second}})
	assert.Equal(t, before, c.Decision())
}

func TestWhereAnswersComeAtOnceLatenciesAreIgnored(t *testing.T) {
	c := New(adaptive())
	c.AnswersAtOnce()
	want := Decision{Target: 100, Ceiling: 2000, Linger: queueLinger, Limit: 64, Cap: 64, Most: 64, Reason: AtOnce}
	assert.Equal(t, want, c.Decision())
	feed(c, time.Second, time.Millisecond, sizes(100)...)
	assert.Equal(t, want, c.Decision())
}
