package pooledotlp

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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
		fail := func() { b.observe(verdict{outcome: attempt.Unavailable, err: errors.New("refused")}) }

		// One failure, or failures between successes, are no news.
		fail()
		time.Sleep(awayAfter)
		b.observe(verdict{outcome: attempt.Accepted})
		fail()
		time.Sleep(awayAfter - 1)
		fail()
		assert.Empty(t, host.statuses())

		time.Sleep(time.Nanosecond)
		fail()
		fail()
		b.observe(verdict{outcome: attempt.Canceled})
		assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, host.statuses())

		// A refusal of the content is an answer.
		b.observe(verdict{outcome: attempt.Rejected})
		b.observe(verdict{outcome: attempt.Accepted})
		assert.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, host.statuses())
		assert.Equal(t, 2, logs.Len())
		assert.Equal(t, awayAfter, logs.All()[1].ContextMap()["away"])
	})
}
