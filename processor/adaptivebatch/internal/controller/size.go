package controller

import "time"

// ceiling is the size above which batches were refused or not answered in time. It is raised again after a while, so that a
// backend that takes more than before is found.
type ceiling struct {
	items float64 // 0: none known
	at    time.Time
	// accepted is the largest batch accepted lately: what is no larger cannot have been refused for its number of items.
	accepted   float64
	acceptedAt time.Time
}

const (
	// tooLargeShrink and deadlineShrink cut the ceiling below a batch that was refused, or not answered in time.
	tooLargeShrink = 0.5
	deadlineShrink = 0.7
	// ceilingHold is how long a ceiling stays before it is raised by ceilingGrowth.
	ceilingHold   = time.Minute
	ceilingGrowth = 1.25
	// acceptedFor is how long an accepted size counts.
	acceptedFor = 10 * time.Second
)

// cut lowers the ceiling below a batch of so many items, unless one as large was accepted lately. It reports whether it did.
func (c *ceiling) cut(items int, factor float64, now time.Time) bool {
	if now.Sub(c.acceptedAt) < acceptedFor && float64(items) <= c.accepted {
		return false
	}
	to := max(1, factor*float64(items), 0.9*min(c.accepted, float64(items)))
	if c.items > 0 && to >= c.items {
		return false
	}
	c.items, c.at = to, now
	return true
}

// took notes an accepted batch.
func (c *ceiling) took(items int, now time.Time) {
	n := float64(items)
	if n >= c.accepted || now.Sub(c.acceptedAt) >= acceptedFor {
		c.accepted, c.acceptedAt = n, now
	}
	if c.items > 0 && n >= 0.9*c.items && now.Sub(c.at) >= ceilingHold {
		c.items, c.at = ceilingGrowth*c.items, now
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
