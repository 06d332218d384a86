package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// answer lets the controller see one answer to a lone request.
func answer(c *Controller, outcome attempt.Outcome, items int, at time.Duration) {
	c.Observe(Observation{
		Attempt: attempt.Attempt{Items: items, Latency: time.Millisecond, Outcome: outcome}, InFlight: 1, Now: epoch.Add(at),
	})
}

func TestTooLargeCutsTheCeilingAtOnce(t *testing.T) {
	c := New(adaptive())
	answer(c, attempt.TooLarge, 1000, 0)
	assert.Equal(t, 500, c.Decision().Ceiling)
	assert.Equal(t, TooLarge, c.Decision().Reason)
	answer(c, attempt.TooLarge, 1000, 0)
	assert.Equal(t, 500, c.Decision().Ceiling, "another batch of that size says nothing new")
	answer(c, attempt.DeadlineExceeded, 500, 0)
	assert.Equal(t, 350, c.Decision().Ceiling)
	assert.Equal(t, Deadline, c.Decision().Reason)
	assert.LessOrEqual(t, c.Decision().Target, 350)
}

func TestCeilingStaysNearWhatWasAccepted(t *testing.T) {
	c := New(adaptive())
	answer(c, attempt.Accepted, 400, 0)
	answer(c, attempt.TooLarge, 420, time.Second)
	assert.Equal(t, 360, c.Decision().Ceiling, "0.9 of what was accepted, not half of what was refused")
	answer(c, attempt.TooLarge, 300, time.Second)
	assert.Equal(t, 360, c.Decision().Ceiling, "a batch of 400 was taken lately: it was not for the number of items")
	answer(c, attempt.TooLarge, 300, time.Minute)
	assert.Equal(t, 270, c.Decision().Ceiling, "that was long ago")
}

func TestCeilingGrowsBack(t *testing.T) {
	c := New(adaptive())
	answer(c, attempt.TooLarge, 1000, 0)
	answer(c, attempt.Accepted, 500, ceilingHold-1)
	assert.Equal(t, 500, c.Decision().Ceiling, "for a minute it stays")
	answer(c, attempt.Accepted, 500, ceilingHold)
	assert.Equal(t, 625, c.Decision().Ceiling)
	answer(c, attempt.Accepted, 100, 3*ceilingHold)
	assert.Equal(t, 625, c.Decision().Ceiling, "small batches do not need more")
	for i := range 20 {
		answer(c, attempt.Accepted, c.Decision().Ceiling, time.Duration(i+4)*ceilingHold)
	}
	assert.Equal(t, 2000, c.Decision().Ceiling)
}
