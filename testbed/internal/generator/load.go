package generator

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Modes of a load.
const (
	// Closed has every client send its next request when the last one is answered.
	Closed = "closed"
	// Open has requests sent at a rate, whatever the answers do. Latency counts from the intended moment.
	Open = "open"
)

// Load is how much is sent, how, and how long.
type Load struct {
	Mode string `yaml:"mode"`
	// Clients is how many requests can be on their way at once.
	Clients int `yaml:"clients"`
	// Connections is how many connections the clients share.
	Connections int `yaml:"connections"`
	// Rate is in items per second; an open loop needs it.
	Rate    float64 `yaml:"rate"`
	Pattern Pattern `yaml:"pattern"`
	// Warmup comes before what is measured; Duration is what is measured.
	Warmup   time.Duration `yaml:"warmup"`
	Duration time.Duration `yaml:"duration"`
	// Timeout is the deadline of one attempt.
	Timeout time.Duration `yaml:"timeout"`
	Retry   Retry         `yaml:"retry"`
}

// Retry is what a client does about a retryable error. As the OTLP specification asks, it waits longer each time, and as long as the
// answer says at least.
type Retry struct {
	Initial time.Duration `yaml:"initial"`
	Max     time.Duration `yaml:"max"`
	// MaxElapsed is when a client gives a request up. 0: it does not retry.
	MaxElapsed time.Duration `yaml:"max_elapsed"`
}

// Validate reports everything that is wrong with the load.
func (l *Load) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch l.Mode {
	case Closed:
		if l.Pattern.Kind != "" && l.Pattern.Kind != Constant {
			bad("`pattern` needs `mode: open`, found %q", l.Mode)
		}
		if l.Rate != 0 {
			bad("`rate` needs `mode: open`, found %v with %q", l.Rate, l.Mode)
		}
	case Open:
		if !positive(l.Rate) {
			bad("`rate` must be positive with `mode: open`, found %v", l.Rate)
		}
	default:
		bad("`mode` must be %s or %s, found %q", Closed, Open, l.Mode)
	}
	if l.Clients < 1 || l.Clients > 10_000 {
		bad("`clients` must be between 1 and 10000, found %d", l.Clients)
	}
	if l.Connections < 1 || l.Connections > l.Clients {
		bad("`connections` must be between 1 and `clients` (%d), found %d", l.Clients, l.Connections)
	}
	if l.Duration <= 0 {
		bad("`duration` must be positive, found %s", l.Duration)
	}
	if l.Warmup < 0 {
		bad("`warmup` must not be negative, found %s", l.Warmup)
	}
	if l.Timeout <= 0 {
		bad("`timeout` must be positive, found %s", l.Timeout)
	}
	if l.Retry.MaxElapsed > 0 && (l.Retry.Initial <= 0 || l.Retry.Max < l.Retry.Initial) {
		bad("`retry.initial` must be positive and at most `retry.max`, found %s and %s", l.Retry.Initial, l.Retry.Max)
	}
	return errors.Join(append(errs, l.Pattern.validate()...)...)
}

// positive is false for what YAML calls .nan and .inf, too.
func positive(rate float64) bool { return rate > 0 && !math.IsInf(rate, 1) }

// Kinds of pattern.
const (
	Constant = "constant"
	Step     = "step"
	Ramp     = "ramp"
	Burst    = "burst"
	Wave     = "wave"
)

// Pattern moves the rate of an open loop between the load's rate and another one.
type Pattern struct {
	// Kind is constant; step (to `to` for every second half of a period); ramp (evenly to `to` within the period, where it stays);
	// burst (`to` for `length` at the beginning of each period); wave (a sine between the two).
	Kind string `yaml:"kind"`
	// To is the other rate, in items per second.
	To     float64       `yaml:"to"`
	Period time.Duration `yaml:"period"`
	Length time.Duration `yaml:"length"`
}

func (p *Pattern) validate() (errs []error) {
	switch p.Kind {
	case "", Constant:
		if p.To != 0 || p.Period != 0 || p.Length != 0 {
			errs = append(errs, fmt.Errorf("`pattern.to`, `period` and `length` need a `pattern.kind` that changes the rate, found %q", p.Kind))
		}
		return errs
	case Step, Ramp, Wave, Burst:
	default:
		errs = append(errs, fmt.Errorf("`pattern.kind` must be %s, %s, %s, %s or %s, found %q", Constant, Step, Ramp, Burst, Wave, p.Kind))
	}
	if !positive(p.To) {
		errs = append(errs, fmt.Errorf("`pattern.to` must be positive, found %v", p.To))
	}
	if p.Period <= 0 {
		errs = append(errs, fmt.Errorf("`pattern.period` must be positive, found %s", p.Period))
	}
	if p.Kind == Burst && (p.Length <= 0 || p.Length >= p.Period) {
		errs = append(errs, fmt.Errorf("`pattern.length` must be positive and below `pattern.period`, found %s", p.Length))
	}
	return errs
}

// RateAt is the rate in items per second at a moment after the load's beginning.
func (l *Load) RateAt(t time.Duration) float64 {
	p := &l.Pattern
	if p.Kind == "" || p.Kind == Constant {
		return l.Rate
	}
	within := t % p.Period
	other := false
	switch p.Kind {
	case Ramp:
		return l.Rate + (p.To-l.Rate)*min(1, t.Seconds()/p.Period.Seconds())
	case Wave:
		return l.Rate + (p.To-l.Rate)*(1-math.Cos(2*math.Pi*t.Seconds()/p.Period.Seconds()))/2
	case Step:
		other = within >= p.Period/2
	case Burst:
		other = within < p.Length
	}
	if other {
		return p.To
	}
	return l.Rate
}

// Items is how many items an open loop sends, warm-up included, when it keeps its rate. A closed loop has no such number: it is 0.
func (l *Load) Items() float64 {
	if l.Mode != Open {
		return 0
	}
	const steps = 10_000
	step := (l.Warmup + l.Duration) / steps
	var items float64
	for i := range time.Duration(steps) {
		items += l.RateAt(i*step) * step.Seconds()
	}
	return items
}
