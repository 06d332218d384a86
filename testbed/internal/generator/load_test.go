package generator

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRatesFollowThePattern(t *testing.T) {
	rates := func(p Pattern, at ...time.Duration) (out []float64) {
		p.To, p.Period = 300, 10*time.Second
		l := Load{Rate: 100, Pattern: p}
		for _, t := range at {
			out = append(out, l.RateAt(t))
		}
		return out
	}
	s := time.Second
	assert.Equal(t, []float64{100, 100}, rates(Pattern{}, 0, 7*s))
	assert.Equal(t, []float64{100, 100, 300, 100}, rates(Pattern{Kind: Step}, 0, 4*s, 5*s, 10*s))
	assert.Equal(t, []float64{100, 200, 300, 300}, rates(Pattern{Kind: Ramp}, 0, 5*s, 10*s, 60*s))
	assert.Equal(t, []float64{300, 100, 300}, rates(Pattern{Kind: Burst, Length: 2 * s}, 0, 2*s, 11*s))
	assert.InDeltaSlice(t, []float64{100, 200, 300, 200, 100}, rates(Pattern{Kind: Wave}, 0, 2500*time.Millisecond, 5*s, 7500*time.Millisecond, 10*s), 1e-6)
}

func TestLoadsReportEveryFaultAtOnce(t *testing.T) {
	good := Load{Mode: Open, Clients: 2, Connections: 1, Rate: 1, Duration: 1, Timeout: 1}
	require.NoError(t, good.Validate())
	closed := good
	closed.Mode, closed.Rate = Closed, 0
	require.NoError(t, closed.Validate())
	closed.Pattern.Kind = Wave
	require.ErrorContains(t, closed.Validate(), "`pattern` needs `mode: open`")

	bad := Load{Mode: "loop", Connections: 3, Warmup: -1, Retry: Retry{MaxElapsed: 1, Initial: 2, Max: 1}, Pattern: Pattern{Kind: "spiral"}}
	err := bad.Validate()
	for _, message := range []string{
		"`mode` must be closed or open, found \"loop\"", "`clients` must be between 1 and 10000, found 0",
		"`connections` must be between 1 and `clients` (0), found 3", "`duration` must be positive", "`warmup` must not be negative",
		"`timeout` must be positive", "`retry.initial` must be positive", "`pattern.kind` must be", "`pattern.to` must be", "`pattern.period` must be",
	} {
		require.ErrorContains(t, err, message)
	}
	closed.Pattern.Kind, closed.Rate = "", 5000
	require.ErrorContains(t, closed.Validate(), "`rate` needs `mode: open`, found 5000 with \"closed\"")
	still := good
	still.Pattern = Pattern{To: 20, Period: 6}
	require.ErrorContains(t, still.Validate(), "`pattern.to`, `period` and `length` need a `pattern.kind` that changes the rate, found \"\"")
	for _, rate := range []float64{math.NaN(), math.Inf(1)} {
		open := good
		open.Rate, open.Pattern = rate, Pattern{Kind: Step, To: rate, Period: 1}
		require.ErrorContains(t, open.Validate(), "`rate` must be positive")
		require.ErrorContains(t, open.Validate(), "`pattern.to` must be positive")
	}
	open := good
	open.Rate, open.Pattern = 0, Pattern{Kind: Burst, To: 1, Period: 1, Length: 1}
	require.ErrorContains(t, open.Validate(), "`rate` must be positive")
	require.ErrorContains(t, open.Validate(), "`pattern.length` must be")
}

func TestTheItemsOfALoadAreThoseOfItsPattern(t *testing.T) {
	l := Load{Mode: Open, Rate: 100, Warmup: time.Second, Duration: 9 * time.Second}
	assert.InDelta(t, 1000, l.Items(), 1)
	l.Pattern = Pattern{Kind: Wave, To: 300, Period: 5 * time.Second}
	assert.InDelta(t, 2000, l.Items(), 10)
	l.Mode = Closed
	assert.Zero(t, l.Items())
}
