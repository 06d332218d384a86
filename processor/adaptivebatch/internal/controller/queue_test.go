package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

func TestBehindAQueueBatchesLeaveAtOnce(t *testing.T) {
	c := New(adaptive())
	c.AnswersAtOnce()
	want := Decision{Target: 100, Ceiling: 2000, Join: 2000, Limit: queueLimit, Cap: 64, Most: 64, Reason: AtOnce}
	assert.Equal(t, want, c.Decision())
	feed(c, time.Second, time.Millisecond, sizes(100)...)
	answer(c, attempt.Rejected, 100, 0)
	answer(c, attempt.Canceled, 100, 0)
	assert.Equal(t, want, c.Decision(), "neither latencies nor what is wrong with the content matter")
}

func TestAFullQueueMakesBatchesLarger(t *testing.T) {
	c := New(adaptive())
	c.AnswersAtOnce()
	at := time.Duration(0)
	for _, want := range []struct {
		target int
		linger time.Duration
	}{{100, 5 * time.Millisecond}, {200, 10 * time.Millisecond}, {400, 20 * time.Millisecond}} {
		for range 50 {
			answer(c, attempt.Failed, 100, at)
		}
		d := c.Decision()
		assert.Equal(t, want.target, d.Target, "once for all that were refused together")
		assert.Equal(t, want.linger, d.Linger)
		assert.Equal(t, QueueFull, d.Reason)
		at += queueRefusals
	}
	for range 20 {
		answer(c, attempt.Failed, 100, at)
		at += queueRefusals
	}
	assert.Equal(t, 2000, c.Decision().Target, "within the bounds")
	assert.Equal(t, 200*time.Millisecond, c.Decision().Linger)
}

func TestAQueueThatHasRoomAgainIsTriedEverMoreRarely(t *testing.T) {
	c := New(adaptive())
	c.AnswersAtOnce()
	answer(c, attempt.Failed, 100, 0)
	at := time.Duration(0)
	for hold := queueHold; hold < maxQueueHold; hold *= 2 {
		at += hold - 1
		answer(c, attempt.Accepted, 100, at)
		assert.Positive(t, c.Decision().Linger, "after %s", hold-1)
		at++
		answer(c, attempt.Accepted, 100, at)
		assert.Zero(t, c.Decision().Linger, "after %s", hold)
		answer(c, attempt.Failed, 100, at)
	}
}

func TestBehindAQueueWaitingIsFreeWhereNobodyWaits(t *testing.T) {
	cfg := adaptive()
	cfg.CallersWait = false
	c := New(cfg)
	c.AnswersAtOnce()
	want := Decision{
		Target: 100, Ceiling: 2000, Join: 2000, Linger: queueLinger, Limit: 64, Cap: 64, Most: 64, Reason: AtOnce,
	}
	assert.Equal(t, want, c.Decision())
	answer(c, attempt.Failed, 100, 0)
	assert.Equal(t, 200, c.Decision().Target)
	answer(c, attempt.Accepted, 100, queueHold)
	answer(c, attempt.Accepted, 100, 3*queueHold)
	assert.Equal(t, want, c.Decision(), "never less than the start")
}
