package simulate

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPooledCallsAreThoseOfAllRuns(t *testing.T) {
	p := Pair{find(t, "trickle"), &Backends[0]}
	assert.Equal(t, "fast", p.Backend.Name)
	p99s := pooled(p, Adaptive(), 3, []int{1, 2})
	third, fourth := simulated(p, Adaptive(), Options{Seed: 3}), simulated(p, Adaptive(), Options{Seed: 4})
	both := slices.Concat(third.latencies, fourth.latencies)
	slices.Sort(both)
	want := quantile(both, 0.99)
	assert.NotContains(t, []time.Duration{third.result.P99, fourth.result.P99}, want)
	assert.Equal(t, []time.Duration{third.result.P99, want}, p99s)

	never := &Backend{Name: "never", Fixed: time.Hour, Servers: 1}
	assert.Equal(t, []time.Duration{math.MaxInt64, math.MaxInt64}, pooled(Pair{p.Load, never}, Adaptive(), 1, []int{1, 2}), "not carried")
}
