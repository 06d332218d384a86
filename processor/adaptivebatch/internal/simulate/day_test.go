package simulate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestADayOfLoad runs twenty-four hours of a load that sleeps at night and comes in a burst every hour. What one hour teaches must
// not make a later one worse.
func TestADayOfLoad(t *testing.T) {
	skipUnderRace(t)
	const day = 24 * time.Hour
	load := &Load{Name: "day", Rate: waved(100, 5_000, day), Items: 100, Burst: 20_000, BurstEvery: time.Hour, Duration: day}
	backend := &Backend{Name: "capacity", Fixed: 2 * ms, PerItem: 5 * us, Servers: 4}
	cfg := Adaptive()
	var noon []time.Duration // the P99 of the hours in which the rate is highest
	result := Run(Pair{load, backend}, cfg, Options{Seed: Seed, TraceEvery: time.Hour, Trace: func(s Sample) {
		d := s.Decision
		assert.True(t, d.Target >= 1 && d.Target <= cfg.MaxItems && d.Limit >= 1 && d.Limit <= d.Cap && d.Cap <= cfg.MaxConcurrency, "%+v", s)
		if hour := s.At / time.Hour; hour >= 10 && hour <= 14 {
			noon = append(noon, s.P99)
		}
	}})
	assert.Zero(t, result.Refused)
	assert.Greater(t, result.Answered, 2_000_000)
	fixed := Run(Pair{load, backend}, Fixed{100, 5 * ms, 64}.Config(), Options{Seed: Seed})
	assert.LessOrEqual(t, float64(result.P99), NearRatio*float64(fixed.P99), "the best for nearly all of the day")
	for _, p99 := range noon {
		assert.LessOrEqual(t, float64(p99), NearRatio*float64(noon[0]), "an hour like the others")
	}
	t.Logf("%d calls, P50 %s, P99 %s (fixed: %s); at noon %s", result.Answered, result.P50, result.P99, fixed.P99, noon)
}
