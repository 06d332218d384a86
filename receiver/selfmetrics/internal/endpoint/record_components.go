package endpoint

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
)

const (
	receiver  = metadata.AttributeOtelcolComponentKindReceiver
	processor = metadata.AttributeOtelcolComponentKindProcessor
	exporter  = metadata.AttributeOtelcolComponentKindExporter
)

// instance is a component's part for one signal: queues and batchers exist once for each.
type instance struct {
	id     string
	signal metadata.AttributeSignal
}

// byInstance leaves out what no signal is known of.
func byInstance(k key) instance {
	if k.signal == 0 {
		return instance{}
	}
	return instance{k.id, k.signal}
}

// recordHeld writes what is held in something that has a limit, and the share of the limit where there is one.
func (r recorder) recordHeld(
	held, limit role,
	size func(pcommon.Timestamp, int64, string, metadata.AttributeSignal),
	share func(pcommon.Timestamp, float64, string, metadata.AttributeSignal),
) {
	limits := sum(r.figures, byInstance, limit)
	for c, v := range sum(r.figures, byInstance, held) {
		size(r.now, int64(v), c.id, c.signal)
		if v, ok := ratio(v, limits[c]); ok {
			share(r.now, v, c.id, c.signal)
		}
	}
}

func (r recorder) recordQueues() {
	r.recordHeld(queueSize, queueCapacity, r.mb.RecordOtelcolSelfQueueSizeDataPoint, r.mb.RecordOtelcolSelfQueueUtilizationDataPoint)
	for c, v := range sum(r.figures, byInstance, queueCapacity) {
		r.mb.RecordOtelcolSelfQueueCapacityDataPoint(r.now, int64(v), c.id, c.signal)
	}
}

func (r recorder) recordBatchers() {
	r.recordHeld(pendingBytes, pendingLimit, r.mb.RecordOtelcolSelfPendingBytesDataPoint, r.mb.RecordOtelcolSelfPendingUtilizationDataPoint)
	r.recordHeld(waitingBytes, waitingLimit, r.mb.RecordOtelcolSelfWaitingBytesDataPoint, r.mb.RecordOtelcolSelfWaitingUtilizationDataPoint)
	for c, v := range sum(r.figures, byInstance, batchTarget) {
		r.mb.RecordOtelcolSelfBatchTargetDataPoint(r.now, v, c.id, c.signal)
	}
}

// recordInFlight prefers an exporter's own count of calls on the wire to exporterhelper's, which includes back-off.
func (r recorder) recordInFlight() {
	calls := sum(r.figures, byID, callsInFlight)
	for id, v := range calls {
		r.mb.RecordOtelcolSelfInFlightDataPoint(r.now, int64(v), exporter, id)
	}
	for id, v := range sum(r.figures, byID, requestsInFlight) {
		if _, known := calls[id]; !known {
			r.mb.RecordOtelcolSelfInFlightDataPoint(r.now, int64(v), exporter, id)
		}
	}
	for id, v := range sum(r.figures, byID, batchesInFlight) {
		r.mb.RecordOtelcolSelfInFlightDataPoint(r.now, int64(v), processor, id)
	}
}

func (r recorder) recordPools() {
	type connection struct{ id, state string }
	for c, v := range sum(r.figures, func(k key) connection { return connection{k.id, k.detail} }, connections) {
		r.mb.RecordOtelcolSelfConnectionsDataPoint(r.now, int64(v), c.id, c.state)
	}
	hits := sum(r.figures, byID, bufferHits)
	for id, taken := range sum(r.figures, byID, bufferHits, bufferMisses) {
		if v, ok := ratio(hits[id], taken); ok {
			r.mb.RecordOtelcolSelfPoolHitRatioDataPoint(r.now, v, exporter, id, metadata.AttributePoolBuffers)
		}
	}
	// The receivers of one type count together, so that their type stands for their IDs.
	received := sum(r.figures, func(k key) string { return k.detail }, receiverBuffers)
	if v, ok := ratio(received["hit"], received["hit"]+received["miss"]); ok {
		r.mb.RecordOtelcolSelfPoolHitRatioDataPoint(r.now, v, receiver, "pooledotlp", metadata.AttributePoolBuffers)
	}
	opened := sum(r.figures, byID, connectionsOpened)
	for id, picks := range sum(r.figures, byID, connectionPicks) {
		// A pool may open more connections than it has calls: to its minimum, or to replace broken ones.
		if v, ok := ratio(picks-opened[id], picks); ok {
			r.mb.RecordOtelcolSelfPoolHitRatioDataPoint(r.now, max(0, v), exporter, id, metadata.AttributePoolConnections)
		}
	}
	before := sum(r.figures, byID, bytesBefore)
	for id, after := range sum(r.figures, byID, bytesAfter) {
		if v, ok := ratio(before[id], after); ok {
			r.mb.RecordOtelcolSelfCompressionRatioDataPoint(r.now, v, id)
		}
	}
}
