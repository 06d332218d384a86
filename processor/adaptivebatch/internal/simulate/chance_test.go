package simulate

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPooledCallsAreThoseOfAllRuns(t *testing.T) {
	p := Pair{find(t, "trickle"), &Backends[0]}
	assert.Equal(t, "fast", p.Backend.Name)
	p99s := pooled(p, Adaptive(), 3, []int{1, 2})
	third, fourth := Run(p, Adaptive(), Options{Seed: 3}).P99, Run(p, Adaptive(), Options{Seed: 4}).P99
	assert.NotEqual(t, third, fourth)
	assert.Equal(t, third, p99s[0])
	assert.True(t, min(third, fourth) <= p99s[1] && p99s[1] <= max(third, fourth) && p99s[1] != third, "%s of %s and %s", p99s[1], third, fourth)

	never := &Backend{Name: "never", Fixed: time.Hour, Servers: 1}
	assert.Equal(t, []time.Duration{math.MaxInt64, math.MaxInt64}, pooled(Pair{p.Load, never}, Adaptive(), 1, []int{1, 2}), "not carried")
}
