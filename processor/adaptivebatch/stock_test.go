package adaptivebatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The behaviours of the stock batch processor that no other test is about. README.md lists them all.

func TestZeroConfigurationPassesCallsThrough(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(0), func(cfg *Config) { cfg.Timeout = 0; cfg.SendBatchMaxBytes = 0 }))
		began := time.Now()
		var answers []<-chan error
		for i := range 5 {
			answers = append(answers, u.goSend(t.Context(), 100*i, 10+i))
		}
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		assert.Equal(t, roundTrip, time.Since(began))
		assert.ElementsMatch(t, []int{10, 11, 12, 13, 14}, next.sizes(), "calls keep their sizes")
	})
}

func TestOnlyAMaximumSplitsAndNothingElse(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(0), func(cfg *Config) { cfg.Timeout = 0; cfg.SendBatchMaxSize = 10 }))
		for i := range 5 {
			require.NoError(t, u.send(t.Context(), 100*i, 100))
		}
		assert.Equal(t, sequence(0, 500), next.took())
		assert.Len(t, next.sizes(), 50)
		for _, n := range next.sizes() {
			assert.Equal(t, 10, n)
		}
	})
}

func TestFixedBatchesNeverExceedTheMaximum(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{}
		u := start(t, path, next, all(fixed(37), func(cfg *Config) { cfg.SendBatchMaxSize = 41; cfg.WaitForResult = false }))
		for i := range 40 {
			require.NoError(t, u.send(t.Context(), 25*i, 25))
		}
		time.Sleep(2 * time.Second)
		assert.Equal(t, sequence(0, 1000), next.took())
		for _, n := range next.sizes() {
			assert.LessOrEqual(t, n, 41)
		}
	})
}
