package endpoint

import (
	"strings"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
)

// role says what a metric family of the telemetry endpoint means to us. Families in one role are added up, whichever
// component reports them.
type role uint8

const (
	// Counters. Those of items, by signal:
	acceptedItems role = iota + 1
	refusedItems       // by receivers, refused and failed alike
	sentItems
	unsentItems   // given up by exporters
	unqueuedItems // refused by sending queues
	droppedItems  // by pooledotlp, with its reason
	lostItems     // of batches that could not be sent, and for whose result nobody waited

	// Others:
	receivedRequests
	attempts // by signal, with their outcome
	retries
	bytesBefore // compression
	bytesAfter
	bufferHits
	bufferMisses
	receiverBuffers // of the pooledotlp receiver: hit or miss
	connectionPicks
	connectionsOpened

	// Gauges.
	queueSize
	queueCapacity
	requestsInFlight // of exporterhelper: back-off included
	callsInFlight    // of pooledotlp: on the wire
	batchesInFlight
	batchTarget
	pendingBytes
	pendingLimit
	waitingBytes
	waitingLimit
	connections

	// Histograms of durations.
	attemptDuration
	rpcClientDuration
	rpcServerDuration
	httpClientDuration
	httpServerDuration
)

func (r role) isCounter() bool   { return r < queueSize }
func (r role) isHistogram() bool { return r >= attemptDuration }

// family is what the catalog knows about a metric family.
type family struct {
	role role
	// signal is what the name of the family says about it; where it says nothing, the label data_type does.
	signal metadata.AttributeSignal
	// id is the label that names the component.
	id string
	// detail is the label that splits the role further: a reason, an outcome, a state.
	detail string
	// scale turns the family's unit into the base unit; 0 is 1.
	scale float64
}

// factor turns the family's unit into the base unit.
func (f family) factor() float64 {
	if f.scale == 0 {
		return 1
	}
	return f.scale
}

// itemSuffixes are what exporterhelper and receiverhelper call the items of each signal.
var itemSuffixes = map[metadata.AttributeSignal]string{
	metadata.AttributeSignalTraces:   "spans",
	metadata.AttributeSignalMetrics:  "metric_points",
	metadata.AttributeSignalLogs:     "log_records",
	metadata.AttributeSignalProfiles: "profile_samples",
}

// catalog maps names, without the suffixes that the endpoint may be configured to append, to families. The otelcol_ names are
// those of the Collector's own helpers and of this repository's components; a test holds the latter against their
// metadata.yaml. The others are OpenTelemetry's instrumentation of gRPC and HTTP, which the Collector turns on at the
// telemetry level "detailed".
var catalog = func() map[string]family {
	c := map[string]family{
		"otelcol_receiver_requests": {role: receivedRequests, id: "receiver"},

		"otelcol_exporter_queue_size":         {role: queueSize, id: "exporter"},
		"otelcol_exporter_queue_capacity":     {role: queueCapacity, id: "exporter"},
		"otelcol_exporter_in_flight_requests": {role: requestsInFlight, id: "exporter"},

		"otelcol_exporter_pooledotlp_attempt_duration":   {role: attemptDuration, id: "exporter"},
		"otelcol_exporter_pooledotlp_attempts":           {role: attempts, id: "exporter", detail: "outcome"},
		"otelcol_exporter_pooledotlp_buffer_hits":        {role: bufferHits, id: "exporter"},
		"otelcol_exporter_pooledotlp_buffer_misses":      {role: bufferMisses, id: "exporter"},
		"otelcol_exporter_pooledotlp_connections":        {role: connections, id: "exporter", detail: "state"},
		"otelcol_exporter_pooledotlp_connections_opened": {role: connectionsOpened, id: "exporter"},
		"otelcol_exporter_pooledotlp_dropped_items":      {role: droppedItems, id: "exporter", detail: "reason"},
		"otelcol_exporter_pooledotlp_in_flight":          {role: callsInFlight, id: "exporter"},
		"otelcol_exporter_pooledotlp_picks":              {role: connectionPicks, id: "exporter"},
		"otelcol_exporter_pooledotlp_retries":            {role: retries, id: "exporter"},
		"otelcol_exporter_pooledotlp_uncompressed_bytes": {role: bytesBefore, id: "exporter"},
		"otelcol_exporter_pooledotlp_wire_bytes":         {role: bytesAfter, id: "exporter"},

		"otelcol_processor_adaptivebatch_in_flight":           {role: batchesInFlight, id: "processor"},
		"otelcol_processor_adaptivebatch_lost_items":          {role: lostItems, id: "processor"},
		"otelcol_processor_adaptivebatch_pending_bytes":       {role: pendingBytes, id: "processor"},
		"otelcol_processor_adaptivebatch_pending_bytes_limit": {role: pendingLimit, id: "processor"},
		"otelcol_processor_adaptivebatch_target":              {role: batchTarget, id: "processor"},
		"otelcol_processor_adaptivebatch_waiting_bytes":       {role: waitingBytes, id: "processor"},
		"otelcol_processor_adaptivebatch_waiting_bytes_limit": {role: waitingLimit, id: "processor"},

		"otelcol_receiver_pooledotlp_buffer_requests": {role: receiverBuffers, detail: "result"},

		"rpc_client_call_duration":     {role: rpcClientDuration},
		"rpc_client_duration":          {role: rpcClientDuration, scale: 1e-3},
		"rpc_server_call_duration":     {role: rpcServerDuration},
		"rpc_server_duration":          {role: rpcServerDuration, scale: 1e-3},
		"http_client_request_duration": {role: httpClientDuration},
		"http_server_request_duration": {role: httpServerDuration},
	}
	for signal, items := range itemSuffixes {
		c["otelcol_receiver_accepted_"+items] = family{role: acceptedItems, signal: signal, id: "receiver"}
		c["otelcol_receiver_refused_"+items] = family{role: refusedItems, signal: signal, id: "receiver"}
		c["otelcol_receiver_failed_"+items] = family{role: refusedItems, signal: signal, id: "receiver"}
		c["otelcol_exporter_sent_"+items] = family{role: sentItems, signal: signal, id: "exporter"}
		c["otelcol_exporter_send_failed_"+items] = family{role: unsentItems, signal: signal, id: "exporter"}
		c["otelcol_exporter_enqueue_failed_"+items] = family{role: unqueuedItems, signal: signal, id: "exporter"}
	}
	return c
}()

// unitSuffixes are what an OpenTelemetry Prometheus exporter may append for the units that our families have.
var unitSuffixes = []string{"_seconds", "_milliseconds", "_bytes"}

// lookup finds the family of a name as the endpoint spells it. Whether counters end in _total and whether names end in
// their unit is a matter of the endpoint's configuration (without_type_suffix, without_units), and so is whether dots
// stay dots.
func lookup(name string) (family, bool) {
	if strings.Contains(name, ".") {
		name = strings.ReplaceAll(name, ".", "_")
	}
	if f, ok := catalog[name]; ok {
		return f, true
	}
	name = strings.TrimSuffix(name, "_total")
	if f, ok := catalog[name]; ok {
		return f, true
	}
	for _, suffix := range unitSuffixes {
		if short, found := strings.CutSuffix(name, suffix); found {
			f, ok := catalog[short]
			return f, ok
		}
	}
	return family{}, false
}

// Knows reports whether a family of this name, in whatever spelling, is one that figures are made of.
func Knows(name string) bool {
	_, known := lookup(name)
	return known
}
