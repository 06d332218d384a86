package simulate

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// swing is how many times the lowest the highest decision may be once a steady load has lasted for the warm-up, without the
// tenth at either end: noise of 20 % moves a knee, and a drain halves the limit now and then.
const swing = 2.0

func TestDecisionsDoNotOscillateUnderSteadyLoad(t *testing.T) {
	worst := map[string]float64{}
	for _, p := range Pairs() {
		if p.Backend.Fails > 0 || p.Backend.TooLarge > 0 || p.Backend.Deadline > 0 {
			continue
		}
		switch p.Load.Name {
		case "trickle", "low", "high", "1 waiting":
		default:
			continue
		}
		if p.Load.Name == "high" && p.Backend.Name == "costly" {
			continue // more than it carries
		}
		var targets, caps []int
		Run(p, Adaptive(), Options{Seed: Seed, TraceEvery: 50 * time.Millisecond, Trace: func(s Sample) {
			if s.At > WarmUp && s.At < p.Load.Duration {
				targets = append(targets, s.Decision.Target)
				caps = append(caps, s.Decision.Cap)
			}
		}})
		for what, values := range map[string][]int{"target": targets, "cap": caps} {
			slices.Sort(values)
			ratio := float64(values[len(values)*9/10]) / float64(values[len(values)/10])
			worst[what] = max(worst[what], ratio)
			assert.LessOrEqual(t, ratio, swing, "%s: %s", p.Name(), what)
		}
	}
	t.Logf("the highest is at most so many times the lowest: %v", worst)
}

func TestDecisionsStayWithinTheirBounds(t *testing.T) {
	skipUnderRace(t)
	cfg := Adaptive()
	for _, p := range Pairs() {
		if p.Load.Waiting > 1 {
			continue // millions of calls, and nothing that others do not do
		}
		Run(p, cfg, Options{Seed: 2, TraceEvery: 20 * time.Millisecond, Trace: func(s Sample) {
			d := s.Decision
			ok := d.Target >= 1 && d.Target <= cfg.MaxItems && d.Ceiling >= 1 && d.Ceiling <= cfg.MaxItems && d.Join >= 1 && d.Join <= d.Ceiling &&
				d.Linger >= 0 && d.Linger <= cfg.Timeout && d.Limit >= 1 && d.Limit <= d.Cap && d.Cap <= cfg.MaxConcurrency &&
				s.InFlight <= cfg.MaxConcurrency
			if !ok {
				assert.Fail(t, "out of bounds", "%s at %s: %+v", p.Name(), s.At, s)
			}
		}})
	}
}

// TestStepsAreFollowed: from three seconds after a jump on, calls wait no longer than 1.5 times what they do with the best
// fixed configuration; backends that refuse or answer at once are of no use here.
func TestStepsAreFollowed(t *testing.T) {
	skipUnderRace(t)
	for _, p := range Pairs() {
		b := p.Backend
		if p.Load.Steps == nil || b.Fails > 0 || b.AtOnce {
			continue
		}
		best, adaptive := BestFixed(p, Seed), Run(p, Adaptive(), Options{Seed: Seed})
		assert.LessOrEqual(t, float64(adaptive.P99), 1.5*float64(best.Result.P99), p.Name())
	}
}

// TestABusyMachineMakesNothingSlower: where some requests take much longer for reasons that have nothing to do with their size or
// number, batches stay as good as those fixed ones that are best otherwise.
func TestABusyMachineMakesNothingSlower(t *testing.T) {
	skipUnderRace(t)
	busy := &Backend{Name: "busy", Fixed: 1 * ms, PerItem: 1 * us, Servers: 64, Slow: 0.05}
	for name, size := range map[string]int{"low": 10, "high": 100, "500 waiting": 10} {
		p := Pair{find(t, name), busy}
		best := Run(p, Fixed{size, 5 * ms, 64}.Config(), Options{Seed: Seed})
		adaptive := Run(p, Adaptive(), Options{Seed: Seed})
		assert.LessOrEqual(t, float64(adaptive.P99), 1.25*float64(best.P99), name)
		assert.LessOrEqual(t, float64(adaptive.P50), 1.25*float64(best.P50), name)
		assert.GreaterOrEqual(t, float64(adaptive.Answered), 0.95*float64(best.Answered), name)
		t.Logf("%s: P50 %s (fixed: %s), P99 %s (%s), answered %d (%d)", name, adaptive.P50, best.P50, adaptive.P99, best.P99, adaptive.Answered, best.Answered)
	}
}

func find(t *testing.T, name string) *Load {
	t.Helper()
	for i := range Loads {
		if Loads[i].Name == name {
			return &Loads[i]
		}
	}
	t.Fatalf("no load is called %q", name)
	return nil
}
