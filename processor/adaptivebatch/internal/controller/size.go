package controller

import "time"

// ceiling is a size above which batches are of no use: they were refused, not answered in time, or took too long for each
// item. It is raised again after a while, so that a backend that takes more than before is found; the while doubles each time
// that this turns out to be in vain.
type ceiling struct {
	// firstHold is how long a ceiling stays at first before it is raised by the factor growth.
	firstHold time.Duration
	growth    float64

	items float64 // 0: none known
	at    time.Time
	hold  time.Duration
	// raised says that the ceiling was raised since it was last cut.
	raised bool
	// accepted is the largest batch accepted lately: what is no larger cannot have been refused for its number of items.
	accepted   float64
	acceptedAt time.Time
}

const (
	// tooLargeShrink cuts the ceiling below a batch that was refused.
	tooLargeShrink = 0.5
	// A refusal or a missed deadline costs somebody something, so this ceiling is tried late and carefully.
	ceilingHold   = time.Minute
	ceilingGrowth = 1.25
	// A size that was dear by chance makes all batches smaller than they could be, so this one is tried soon.
	joinHold   = 10 * time.Second
	joinGrowth = 1.5
	// maxCeilingHold is how long a ceiling stays at last.
	maxCeilingHold = time.Hour
	// acceptedFor is how long an accepted size counts.
	acceptedFor = 10 * time.Second
)

// refused lowers the ceiling below a batch of so many items that was too large, unless one as large was accepted lately. It
// reports whether it did.
func (c *ceiling) refused(items int, now time.Time) bool {
	if now.Sub(c.acceptedAt) < acceptedFor && float64(items) <= c.accepted {
		return false
	}
	return c.lower(max(1, tooLargeShrink*float64(items), 0.9*min(c.accepted, float64(items))), now)
}

// lower lowers the ceiling to so many items. It reports whether it was higher.
func (c *ceiling) lower(to float64, now time.Time) bool {
	if c.items > 0 && to >= c.items {
		return false
	}
	if c.hold == 0 {
		c.hold = c.firstHold
	} else if c.raised {
		c.hold = min(maxCeilingHold, 2*c.hold)
	}
	c.items, c.at, c.raised = to, now, false
	return true
}

// took notes an accepted batch.
func (c *ceiling) took(items int, now time.Time) {
	n := float64(items)
	if n >= c.accepted || now.Sub(c.acceptedAt) >= acceptedFor {
		c.accepted, c.acceptedAt = n, now
	}
	if c.items > 0 && n >= 0.9*c.items && now.Sub(c.at) >= c.hold {
		c.items, c.at, c.raised = c.growth*c.items, now, true
	}
}

// within returns the smaller of the ceiling and the configured maximum (0: none); a ceiling that has reached it is
// forgotten.
func (c *ceiling) within(most int) int {
	if most > 0 && c.items >= float64(most) {
		c.items = 0
	}
	if c.items == 0 {
		return most
	}
	return int(c.items)
}
