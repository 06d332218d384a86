package netproxy

import (
	"errors"
	"fmt"
	"time"
)

// Phase is how the network behaves from a moment on, until the next phase begins. Its zero value passes everything at once.
type Phase struct {
	// At is the phase's beginning, counted from the beginning of what is measured. A phase at 0 holds from the start.
	At time.Duration `yaml:"at"`
	// Delay is how much later each direction's bytes arrive: a round trip takes twice as long.
	Delay time.Duration `yaml:"delay"`
	// BytesPerSecond is what each connection carries in each direction. 0: no limit.
	BytesPerSecond int `yaml:"bytes_per_second"`
	// Cut ends every connection once, when the phase begins.
	Cut bool `yaml:"cut"`
	// Down ends every connection and refuses new ones.
	Down bool `yaml:"down"`
	// BlackHole lets connections stand and holds back what they carry until the phase ends, as a network that loses every packet
	// does; new connections are accepted and get no answer.
	BlackHole bool `yaml:"black_hole"`
}

// Validate reports everything that is wrong with the phase.
func (p *Phase) Validate() error {
	var errs []error
	if p.At < 0 {
		errs = append(errs, fmt.Errorf("`at` must not be negative, found %s", p.At))
	}
	if p.Delay < 0 {
		errs = append(errs, fmt.Errorf("`delay` must not be negative, found %s", p.Delay))
	}
	if p.BytesPerSecond < 0 {
		errs = append(errs, fmt.Errorf("`bytes_per_second` must not be negative, found %d", p.BytesPerSecond))
	}
	if p.Down && p.BlackHole {
		errs = append(errs, errors.New("`down` and `black_hole` exclude each other"))
	}
	return errors.Join(errs...)
}
