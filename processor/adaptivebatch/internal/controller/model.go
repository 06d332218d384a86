package controller

import (
	"math"
	"time"
)

// model learns latency = a + b x items of requests that do not queue, from accepted requests that may have.
//
// It is a least squares fit with exponential forgetting (Haykin, Adaptive Filter Theory, chapter on recursive least squares;
// here as five decayed sums, which is the same for two parameters), with one change: a request slower than predicted weighs
// less than one that is faster (an expectile, Newey and Powell 1987). Queueing only ever adds to a latency, so the fit
// keeps to the lower edge of what is seen, while plain noise moves it down by less than a standard deviation.
type model struct {
	weight, x, y, xx, xy float64
	seen                 float64 // requests, decayed
	at                   time.Time
	classes              classes
	// wellKnown is the largest size of which several requests were accepted.
	wellKnown float64
}

const (
	// slowWeight is the weight of a request slower than predicted; a faster one weighs 1.
	slowWeight = 0.25
	// queuedWeight is a further factor for a request that was slower than noise explains, while others were in flight.
	queuedWeight = 0.25
	// memory is how long requests are remembered, but at least minRemembered of them.
	memory        = 2 * time.Second
	minRemembered = 50
	// minSeen is the number of remembered requests from which on the fit is trusted.
	minSeen = 8
	// minSpread is the relative variance of the sizes from which on their part of the latency can be told from the fixed.
	minSpread = 0.1
	// extrapolation is how far from the mean size a latency is assumed while sizes do not differ.
	extrapolation = 2
	// negativeFixed is the fixed part, as a part of the mean latency, below which a straight line does not describe what was seen.
	negativeFixed = -0.1
)

// kneeFactor is how many times the fixed part of a request's latency its items' part becomes at the knee: from there on,
// doubling the batch saves less than a tenth of the time per item and adds nearly all of its latency.
const kneeFactor = 4

// observe learns from an accepted request. The fewer others were in flight, the less it can have queued.
func (m *model) observe(o Observation) {
	items, seconds, inFlight, now := float64(o.Items), o.Latency.Seconds(), max(o.InFlight, o.Among), o.Now
	w := 1 / float64(max(1, inFlight))
	if predicted, known := m.predict(items); known && m.trusted() && seconds > predicted {
		w *= slowWeight
		if inFlight > 1 && seconds > inflationBound*predicted {
			w *= queuedWeight
		}
	}
	keep := max(1-1.0/minRemembered, math.Exp(-now.Sub(m.at).Seconds()/memory.Seconds()))
	m.at = now
	m.seen = m.seen*keep + 1
	m.weight = m.weight*keep + w
	m.x = m.x*keep + w*items
	m.y = m.y*keep + w*seconds
	m.xx = m.xx*keep + w*items*items
	m.xy = m.xy*keep + w*items*seconds
	m.classes.observe(o, w)
	if _, _, known := m.classes.mean(items); known {
		m.wellKnown = max(m.wellKnown, items)
	}
}

// scale corrects all that is remembered by a factor.
func (m *model) scale(by float64) {
	m.y *= by
	m.xy *= by
	m.classes.scale(by)
}

func (m *model) trusted() bool { return m.seen >= minSeen }

// fit returns seconds per request and seconds per item. Where all requests had about the same size the two cannot be told
// apart, and ok is false; nor where a line through them would begin far below 0.
func (m *model) fit() (a, b float64, ok bool) {
	if !m.trusted() {
		return 0, 0, false
	}
	meanX, meanY := m.x/m.weight, m.y/m.weight
	varX := m.xx/m.weight - meanX*meanX
	if varX < minSpread*meanX*meanX {
		return 0, 0, false
	}
	b = max(0, (m.xy/m.weight-meanX*meanY)/varX)
	a = meanY - b*meanX
	if a < 0 {
		if a < negativeFixed*meanY {
			return 0, 0, false
		}
		a, b = 0, meanY/meanX
	}
	return a, b, true
}

// predict returns the seconds that a request of so many items takes. It is known only for sizes about which something was
// seen.
func (m *model) predict(items float64) (seconds float64, known bool) {
	a, b, ok := m.fit()
	if meanItems, mean, known := m.classes.mean(items); known {
		return mean + b*(items-meanItems), true
	}
	if ok {
		return a + b*items, items < extrapolation*m.wellKnown
	}
	if m.weight == 0 {
		return 0, false
	}
	mean := m.x / m.weight
	return m.y / m.weight, items < extrapolation*mean && items > mean/extrapolation
}

// fixed returns the seconds of a request that do not depend on its size.
func (m *model) fixed() float64 {
	if a, _, ok := m.fit(); ok {
		return a
	}
	if m.weight == 0 {
		return 0
	}
	return m.y / m.weight
}

// paidOff returns the number of items that take as long as the fixed part of a request; it is very large where items cost nothing that can
// be measured.
func (m *model) paidOff() (items float64, ok bool) {
	if items, ok := m.classes.paidOff(m.at); ok {
		return items, true
	}
	a, b, ok := m.fit()
	switch {
	case !ok:
		return 0, false
	case b == 0:
		return math.MaxInt32, true
	}
	return a / b, true
}
