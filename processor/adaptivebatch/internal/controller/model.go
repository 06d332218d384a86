package controller

import "math"

// model learns latency = a + b x items from accepted requests, by least squares with exponential forgetting: each new
// observation weighs 1, and every older one is worth forgetting times less (Haykin, Adaptive Filter Theory, chapter on
// recursive least squares; here in the form of five decayed sums, which is the same for two parameters).
type model struct {
	weight, x, y, xx, xy float64
}

// forgetting keeps about the last 1/(1-forgetting) = 100 requests.
const forgetting = 0.99

// kneeFactor is how many times the fixed part of a request's latency its items' part becomes at the knee: from there on,
// doubling the batch saves less than a tenth of the time per item and adds nearly all of its latency.
const kneeFactor = 4

// minWeight is the number of remembered requests from which on the fit is trusted.
const minWeight = 8

func (m *model) observe(items, seconds float64) {
	m.weight = m.weight*forgetting + 1
	m.x = m.x*forgetting + items
	m.y = m.y*forgetting + seconds
	m.xx = m.xx*forgetting + items*items
	m.xy = m.xy*forgetting + items*seconds
}

// fit returns seconds per request and seconds per item. Where all requests had about the same size the two cannot be told
// apart, and ok is false.
func (m *model) fit() (a, b float64, ok bool) {
	if m.weight < minWeight {
		return 0, 0, false
	}
	meanX, meanY := m.x/m.weight, m.y/m.weight
	varX := m.xx/m.weight - meanX*meanX
	if varX < 0.01*meanX*meanX {
		return 0, 0, false
	}
	b = (m.xy/m.weight - meanX*meanY) / varX
	if b < 0 {
		b = 0
	}
	a = meanY - b*meanX
	if a < 0 {
		a, b = 0, meanY/meanX
	}
	return a, b, true
}

// predict returns the seconds that a request of so many items takes; 0 before the first observation.
func (m *model) predict(items float64) float64 {
	if a, b, ok := m.fit(); ok {
		return a + b*items
	}
	if m.weight == 0 {
		return 0
	}
	return m.y / m.weight
}

// knee returns the number of items at which the fixed part of a request has been paid off.
func (m *model) knee() (items float64, ok bool) {
	a, b, ok := m.fit()
	if !ok {
		return 0, false
	}
	if b == 0 {
		return math.MaxInt32, true // items cost nothing that can be measured: as large as allowed
	}
	return kneeFactor * a / b, true
}
