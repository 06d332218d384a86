package pooledotlp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

func TestStatusAndLogTellChangesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		host := newStatusHost()
		b := newBackend(zap.New(core))
		b.host = host
		fail := func() { b.observe(verdict{outcome: attempt.Unavailable, err: errors.New("refused")}, 0) }

		// One failure, or failures between successes, are no news.
		fail()
		time.Sleep(awayAfter)
		b.observe(verdict{outcome: attempt.Accepted}, 0)
		fail()
		time.Sleep(awayAfter - 1)
		fail()
		assert.Empty(t, host.statuses())

		time.Sleep(time.Nanosecond)
		fail()
		fail()
		b.observe(verdict{outcome: attempt.Canceled}, 0)
		assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, host.statuses())

		// A refusal of the content is an answer.
		b.observe(verdict{outcome: attempt.Rejected}, 0)
		b.observe(verdict{outcome: attempt.Accepted}, 0)
		assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, host.statuses())
		assert.Equal(t, 2, logs.Len())
		assert.Equal(t, awayAfter.String(), logs.All()[1].ContextMap()["away"])
	})
}

// Clients leave, and a batcher gives up, before the time-out of a try: a backend that accepts and never answers shows in nothing else.
func TestABackendThatNeverAnswersIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		host := newStatusHost()
		b := newBackend(zap.New(core))
		b.host = host
		left := verdict{outcome: attempt.Canceled, err: context.Canceled}
		for range 3 {
			b.observe(left, awayAfter-1)
			time.Sleep(awayAfter)
		}
		assert.Empty(t, host.statuses(), "the callers were in a hurry")
		b.observe(left, awayAfter)
		time.Sleep(awayAfter)
		b.observe(left, awayAfter)
		require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, host.statuses())
		assert.Contains(t, logs.All()[0].ContextMap()["error"], "no answer within 5s")
		b.observe(verdict{outcome: attempt.Accepted}, 0)
		assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, host.statuses())
	})
}
