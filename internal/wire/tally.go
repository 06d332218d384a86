package wire

// tally counts the items of a request during the walk, as pdata counts them after decoding.
type tally struct {
	items int

	// Of a metric's data fields the last one on the wire counts, as they are a oneof. metricStart is the count before
	// the metric.
	metricStart int

	// A resource's deprecated scopes count where it has no others.
	scopes     bool // the resource has scopes
	scopeStart int  // the count before the deprecated scope
	deprecated int  // items in the resource's deprecated scopes
	legacy     bool
}

// trait is what a message type means for the tally.
type trait uint8

const (
	traitNone trait = iota
	traitItem
	traitMetric
	traitData
	traitScope
	traitOldScope
	traitResource
)

var traits = [numMessages]trait{
	msgSpan: traitItem, msgLogRecord: traitItem,
	msgNumberPoint: traitItem, msgHistogramPoint: traitItem, msgExponentialHistogramPoint: traitItem, msgSummaryPoint: traitItem,
	msgMetric: traitMetric,
	msgGauge:  traitData, msgSum: traitData, msgHistogram: traitData, msgExponentialHistogram: traitData, msgSummary: traitData,
	msgScopeSpans: traitScope, msgScopeMetrics: traitScope, msgScopeLogs: traitScope,
	msgOldScopeSpans: traitOldScope, msgOldScopeMetrics: traitOldScope, msgOldScopeLogs: traitOldScope,
	msgResourceSpans: traitResource, msgResourceMetrics: traitResource, msgResourceLogs: traitResource,
}

// enter is called before the walk of a message.
func (t *tally) enter(m message) {
	switch traits[m] {
	case traitItem:
		t.items++
	case traitMetric:
		t.metricStart = t.items
	case traitData:
		t.items = t.metricStart
	case traitScope:
		t.scopes = true
	case traitOldScope:
		t.scopeStart = t.items
	case traitResource:
		t.scopes, t.deprecated = false, 0
	}
}

// leave is called after it.
func (t *tally) leave(m message) {
	switch traits[m] {
	case traitOldScope:
		t.deprecated += t.items - t.scopeStart
		t.items = t.scopeStart
	case traitResource:
		if !t.scopes && t.deprecated > 0 {
			t.items += t.deprecated
			t.legacy = true
		}
	}
}
