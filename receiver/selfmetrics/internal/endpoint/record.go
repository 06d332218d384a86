package endpoint

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/window"
)

const (
	receive = metadata.AttributeDirectionReceive
	export  = metadata.AttributeDirectionExport
)

// outcomes of attempts that say nothing about the backend, and those that are good.
const (
	outcomeAccepted = "accepted"
	outcomeCanceled = "canceled"
)

// recorder writes figures as metrics. A method that finds nothing to say writes nothing.
type recorder struct {
	figures
	mb  *metadata.MetricsBuilder
	now pcommon.Timestamp
}

func (r recorder) record() {
	r.recordItems()
	r.recordRequests()
	r.recordLatency()
	r.recordResponseTime()
	r.recordDropped()
	r.recordQueues()
	r.recordInFlight()
	r.recordBatchers()
	r.recordPools()
}

// sum adds up the values that one of the roles has, by whatever `by` makes of their keys. Keys with the zero value of K are
// left out.
func sum[K comparable](f figures, by func(key) K, roles ...role) map[K]float64 {
	sums := make(map[K]float64)
	var none K
	for _, role := range roles {
		for k, v := range f.values[role] {
			if id := by(k); id != none {
				sums[id] += v
			}
		}
	}
	return sums
}

func bySignal(k key) metadata.AttributeSignal { return k.signal }
func byID(k key) string                       { return k.id }

// ratio returns false where there is nothing to divide.
func ratio(part, whole float64) (float64, bool) {
	if whole <= 0 {
		return 0, false
	}
	return part / whole, true
}

// recordItems writes throughput and the ratios of errors and success. On the way out there are two measures of failure:
// items that were given up, and, where an exporter counts them, attempts that failed. The former is late (an item is
// given up only after all its retries), the latter is blind to queues; the larger one is the error ratio.
func (r recorder) recordItems() {
	sent := sum(r.figures, bySignal, sentItems)
	accepted := sum(r.figures, bySignal, acceptedItems)
	refused := sum(r.figures, bySignal, refusedItems)
	unsent := sum(r.figures, bySignal, unsentItems, unqueuedItems)
	tried, failed := r.attempts()
	for signal := range itemSuffixes {
		if v, ok := accepted[signal]; ok {
			r.mb.RecordOtelcolSelfThroughputDataPoint(r.now, v, signal, receive)
		}
		if v, ok := sent[signal]; ok {
			r.mb.RecordOtelcolSelfThroughputDataPoint(r.now, v, signal, export)
		}
		if v, ok := ratio(refused[signal], accepted[signal]+refused[signal]); ok {
			r.recordErrorRatio(v, signal, receive)
		}
		lost, ok := ratio(unsent[signal], sent[signal]+unsent[signal])
		refusedByBackend, tries := ratio(failed[signal], tried[signal])
		if ok || tries {
			r.recordErrorRatio(max(lost, refusedByBackend), signal, export)
		}
	}
}

func (r recorder) recordErrorRatio(v float64, signal metadata.AttributeSignal, direction metadata.AttributeDirection) {
	r.mb.RecordOtelcolSelfErrorRatioDataPoint(r.now, v, signal, direction)
	r.mb.RecordOtelcolSelfSuccessRatioDataPoint(r.now, 1-v, signal, direction)
}

// attempts returns the attempts to send that tell something about the backend, and those of them that failed.
func (r recorder) attempts() (tried, failed map[metadata.AttributeSignal]float64) {
	tried = sum(r.figures, func(k key) metadata.AttributeSignal {
		if k.detail == outcomeCanceled {
			return 0
		}
		return k.signal
	}, attempts)
	failed = sum(r.figures, func(k key) metadata.AttributeSignal {
		if k.detail == outcomeCanceled || k.detail == outcomeAccepted {
			return 0
		}
		return k.signal
	}, attempts)
	return tried, failed
}

// recordRequests takes the components' own counters where there are any, else those of RPC and HTTP instrumentation.
func (r recorder) recordRequests() {
	received, found := r.total(receivedRequests)
	if !found {
		received, found = r.observed(rpcServerDuration, httpServerDuration)
	}
	if found {
		r.mb.RecordOtelcolSelfRequestRateDataPoint(r.now, received, receive)
	}
	attempted, counted := r.total(attempts)
	called, observed := r.observed(rpcClientDuration, httpClientDuration)
	if counted || observed {
		r.mb.RecordOtelcolSelfRequestRateDataPoint(r.now, attempted+called, export)
	}
	for id, v := range sum(r.figures, byID, retries) {
		r.mb.RecordOtelcolSelfRetriesDataPoint(r.now, v, id)
	}
}

// total adds up what has the role.
func (r recorder) total(wanted role) (total float64, found bool) {
	for _, v := range r.values[wanted] {
		total, found = total+v, true
	}
	return total, found
}

// observed adds up the observations per second of histograms that have one of the roles.
func (r recorder) observed(wanted ...role) (total float64, found bool) {
	for _, role := range wanted {
		for _, buckets := range r.merge(role) {
			total, found = total+buckets.Rate(), true
		}
	}
	return total, found
}

// merge adds up the histograms of the role by component. It leaves out what an exporter's own histogram has too.
func (r recorder) merge(wanted role) map[string]*window.Buckets {
	merged := make(map[string]*window.Buckets)
	for k, buckets := range r.durations {
		if k.role != wanted || r.ownMeasure(k) {
			continue
		}
		if merged[k.id] == nil {
			merged[k.id] = &window.Buckets{}
		}
		merged[k.id].Merge(buckets)
	}
	return merged
}

// ownMeasure reports whether calls of RPC or HTTP clients are, as far as can be told, those that an exporter measures itself.
// The instrumentation tells the peer and, of gRPC, the signal, but not the component: so a signal that such an exporter
// sends is taken to be sent by such exporters alone, and HTTP, which does not even tell the signal, to be used by them alone.
func (r recorder) ownMeasure(k key) bool {
	if k.role != rpcClientDuration && k.role != httpClientDuration {
		return false
	}
	for other := range r.durations {
		if other.role == attemptDuration && (k.role == httpClientDuration || k.signal == other.signal) {
			return true
		}
	}
	return false
}

func (r recorder) recordLatency() {
	for _, role := range []role{attemptDuration, rpcClientDuration, httpClientDuration} {
		for id, buckets := range r.merge(role) {
			for i, v := range buckets.Quantiles(source.Quantiles...) {
				r.mb.RecordOtelcolSelfExportLatencyDataPoint(r.now, v, id, source.QuantileValues[i])
			}
		}
	}
}

func (r recorder) recordResponseTime() {
	protocols := map[role]metadata.AttributeNetworkProtocolName{
		rpcServerDuration:  metadata.AttributeNetworkProtocolNameGrpc,
		httpServerDuration: metadata.AttributeNetworkProtocolNameHTTP,
	}
	for role, protocol := range protocols {
		for _, buckets := range r.merge(role) {
			for i, v := range buckets.Quantiles(source.Quantiles...) {
				r.mb.RecordOtelcolSelfResponseTimeDataPoint(r.now, v, protocol, source.QuantileValues[i])
			}
		}
	}
}

// recordDropped writes why items were given up. An exporter that knows the reasons counts only what nobody sends again, and is left out of what
// exporterhelper counts. But behind a component that answers before its items are sent, such as the stock batch processor, neither it nor a
// receiver hears of what failed: exporterhelper's count is taken then.
func (r recorder) recordDropped() {
	type dropped struct {
		signal metadata.AttributeSignal
		reason string
	}
	detailed := sum(r.figures, byID, droppedItems, attempts)
	given := sum(r.figures, byID, droppedItems)
	told := sum(r.figures, bySignal, refusedItems)
	byReason := sum(r.figures, func(k key) dropped {
		if _, known := detailed[k.id]; known && k.role == unsentItems && (given[k.id] > 0 || told[k.signal] > 0) {
			return dropped{}
		}
		switch k.role {
		case unqueuedItems:
			return dropped{k.signal, "not_enqueued"}
		case unsentItems:
			return dropped{k.signal, "not_sent"}
		case lostItems:
			return dropped{k.signal, "batch_not_sent"}
		default:
			return dropped{k.signal, k.detail}
		}
	}, droppedItems, lostItems, unsentItems, unqueuedItems)
	for d, v := range byReason {
		if d.signal != 0 {
			r.mb.RecordOtelcolSelfDroppedDataPoint(r.now, v, d.signal, d.reason)
		}
	}
}
