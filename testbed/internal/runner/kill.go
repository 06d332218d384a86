package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// lives are how long the Collector lives before each kill. Every other life is at most a second, so that it may end while the
// Collector still starts; each pair has its share of the load's duration.
func lives(kills int, load time.Duration, seed uint64) []time.Duration {
	if kills == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, uint64(kills)))
	all := make([]time.Duration, kills)
	for i := range all {
		most := time.Second
		if i%2 == 1 {
			most = 2*load/time.Duration(kills) - time.Second
		}
		all[i] = time.Duration(r.Int64N(int64(most)))
	}
	return all
}

// kill ends the Collector as often as the scenario says. Only after the last time it waits until the Collector is ready again.
func (t *trial) kill(running context.Context) {
	all := lives(t.scenario.Kills, t.scenario.Load.Duration, t.scenario.Seed)
	if t.process == nil || len(all) == 0 {
		return
	}
	if err := t.killAfter(running, all); err != nil {
		t.events = append(t.events, fmt.Errorf("kills: %w", err))
	}
}

func (t *trial) killAfter(running context.Context, all []time.Duration) error {
	for i, life := range all {
		select {
		case <-time.After(life):
		case <-running.Done():
			return errors.Join(fmt.Errorf("the load ended after %d of %d", i, len(all)), t.process.WaitReady())
		}
		if err := t.replace(); err != nil {
			return fmt.Errorf("%w after %d of %d", err, i, len(all))
		}
	}
	return t.process.WaitReady()
}

// replace kills the Collector and starts it again, ready or not.
func (t *trial) replace() error {
	t.replacing.Lock()
	defer t.replacing.Unlock()
	if !t.process.Running() {
		return errEnded
	}
	return errors.Join(t.process.Kill(), t.process.Launch())
}
