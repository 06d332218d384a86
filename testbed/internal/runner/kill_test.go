package runner

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/generator"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/process"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

func TestLivesAreRandomSeededAndWithinTheLoad(t *testing.T) {
	all := lives(100, 300*time.Second, 1)
	require.Len(t, all, 100)
	assert.Equal(t, all, lives(100, 300*time.Second, 1))
	assert.NotEqual(t, all, lives(100, 300*time.Second, 2))
	var total, longest time.Duration
	for i, life := range all {
		assert.GreaterOrEqual(t, life, time.Duration(0))
		if i%2 == 0 {
			assert.Less(t, life, time.Second)
		}
		total, longest = total+life, max(longest, life)
	}
	assert.Less(t, total, 300*time.Second)
	assert.Greater(t, longest, 4*time.Second)
	assert.Empty(t, lives(0, time.Second, 1))
}

func TestKillsAreSurvived(t *testing.T) {
	m := only(t, run(t, newRunner(t), quick(func(s *scenario.Scenario) {
		s.Load.Mode, s.Load.Rate = generator.Closed, 0 // so that there is always a request to fail when the kill comes
		s.Load.Duration, s.Kills = 3*time.Second, 2
	})))
	assert.Empty(t, m.Fault)
	assert.Positive(t, m.Failures)
	assert.Zero(t, m.Counts.Lost)
}

func TestKillsThatAreNotDoneAreAFault(t *testing.T) {
	address, err := process.FreeAddress()
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(config, []byte(address+" 127.0.0.1:1"), 0o600))
	p, err := process.Start(process.Settings{
		Command: []string{os.Args[0], "relay", "{config}"}, Config: config, Dir: t.TempDir(), Ready: address, CPU: -1,
	})
	require.NoError(t, err)
	killing := &trial{process: p}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.EqualError(t, killing.killAfter(ended, []time.Duration{time.Hour}), "the load ended after 0 of 1")
	require.NoError(t, p.Kill())
	assert.Positive(t, p.Spent())
	assert.InDelta(t, p.Spent().Seconds(), usage(p).CPUSeconds, 1e-9, "what a killed process took counts")
	require.EqualError(t, killing.killAfter(t.Context(), []time.Duration{0}), "the Collector ended by itself after 0 of 1")
	for _, action := range []string{scenario.Kill, scenario.Restart, scenario.Reload} {
		require.ErrorIs(t, killing.event(scenario.Event{Action: action}), errEnded, "an event does not hide a crash before it")
	}
	require.NoError(t, p.Close())
}
