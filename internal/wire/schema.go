package wire

// kind says how a field stands on the wire, and what of it must be checked.
type kind uint8

const (
	kindUnknown   kind = iota // not in the schema: skipped by its wire type
	kindWrongType             // a known field with a wire type it cannot have
	kindGeneral               // the tag is not in the table
	kindVarint
	kindFixed64
	kindFixed32
	// From here on the field has a length.
	kindBytes         // bytes or string; UTF-8 is not checked, as pdata does not
	kindTraceID       // 0 or 16 bytes
	kindSpanID        // 0 or 8 bytes
	kindPackedFixed64 // a multiple of 8 bytes
	kindPackedVarint  // varints without a remainder
	kindMessage
)

// message names a message type of the schema.
type message uint8

const (
	msgTracesRequest message = iota
	msgMetricsRequest
	msgLogsRequest
	msgResourceSpans
	msgResourceMetrics
	msgResourceLogs
	msgScopeSpans
	msgScopeMetrics
	msgScopeLogs
	msgOldScopeSpans
	msgOldScopeMetrics
	msgOldScopeLogs
	msgResource
	msgEntityRef
	msgScope
	msgKeyValue
	msgAnyValue
	msgArrayValue
	msgKeyValueList
	msgSpan
	msgEvent
	msgLink
	msgStatus
	msgMetric
	msgGauge
	msgSum
	msgHistogram
	msgExponentialHistogram
	msgSummary
	msgNumberPoint
	msgHistogramPoint
	msgExponentialHistogramPoint
	msgBuckets
	msgSummaryPoint
	msgQuantile
	msgExemplar
	msgLogRecord
	numMessages
)

// field is one field of a message as the schema below writes it down.
type field struct {
	number  int32
	name    string
	kind    kind
	message message // for kindMessage
}

// deprecatedScopes is where OTLP 0.15 and older put a resource's scopes. pdata reads it, and uses it where field 2 is
// absent.
const deprecatedScopes = 1000

// schema is opentelemetry-proto v1 (https://github.com/open-telemetry/opentelemetry-proto) as far as pdata v1.67 reads it;
// a fuzz test holds the two together.
var schema = [numMessages][]field{
	msgTracesRequest:  {{1, "resource_spans", kindMessage, msgResourceSpans}},
	msgMetricsRequest: {{1, "resource_metrics", kindMessage, msgResourceMetrics}},
	msgLogsRequest:    {{1, "resource_logs", kindMessage, msgResourceLogs}},
	msgResourceSpans: {
		{1, "resource", kindMessage, msgResource},
		{2, "scope_spans", kindMessage, msgScopeSpans},
		{3, "schema_url", kindBytes, 0},
		{deprecatedScopes, "deprecated_scope_spans", kindMessage, msgOldScopeSpans},
	},
	msgResourceMetrics: {
		{1, "resource", kindMessage, msgResource},
		{2, "scope_metrics", kindMessage, msgScopeMetrics},
		{3, "schema_url", kindBytes, 0},
		{deprecatedScopes, "deprecated_scope_metrics", kindMessage, msgOldScopeMetrics},
	},
	msgResourceLogs: {
		{1, "resource", kindMessage, msgResource},
		{2, "scope_logs", kindMessage, msgScopeLogs},
		{3, "schema_url", kindBytes, 0},
		{deprecatedScopes, "deprecated_scope_logs", kindMessage, msgOldScopeLogs},
	},
	msgScopeSpans: {
		{1, "scope", kindMessage, msgScope},
		{2, "spans", kindMessage, msgSpan},
		{3, "schema_url", kindBytes, 0},
	},
	msgScopeMetrics: {
		{1, "scope", kindMessage, msgScope},
		{2, "metrics", kindMessage, msgMetric},
		{3, "schema_url", kindBytes, 0},
	},
	msgScopeLogs: {
		{1, "scope", kindMessage, msgScope},
		{2, "log_records", kindMessage, msgLogRecord},
		{3, "schema_url", kindBytes, 0},
	},
	msgOldScopeSpans: {
		{1, "scope", kindMessage, msgScope},
		{2, "spans", kindMessage, msgSpan},
		{3, "schema_url", kindBytes, 0},
	},
	msgOldScopeMetrics: {
		{1, "scope", kindMessage, msgScope},
		{2, "metrics", kindMessage, msgMetric},
		{3, "schema_url", kindBytes, 0},
	},
	msgOldScopeLogs: {
		{1, "scope", kindMessage, msgScope},
		{2, "log_records", kindMessage, msgLogRecord},
		{3, "schema_url", kindBytes, 0},
	},
	msgResource: {
		{1, "attributes", kindMessage, msgKeyValue},
		{2, "dropped_attributes_count", kindVarint, 0},
		{3, "entity_refs", kindMessage, msgEntityRef},
	},
	msgEntityRef: {
		{1, "schema_url", kindBytes, 0},
		{2, "type", kindBytes, 0},
		{3, "id_keys", kindBytes, 0},
		{4, "description_keys", kindBytes, 0},
	},
	msgScope: {
		{1, "name", kindBytes, 0},
		{2, "version", kindBytes, 0},
		{3, "attributes", kindMessage, msgKeyValue},
		{4, "dropped_attributes_count", kindVarint, 0},
	},
	msgKeyValue: {
		{1, "key", kindBytes, 0},
		{2, "value", kindMessage, msgAnyValue},
		{3, "key_strindex", kindVarint, 0},
	},
	msgAnyValue: {
		{1, "string_value", kindBytes, 0},
		{2, "bool_value", kindVarint, 0},
		{3, "int_value", kindVarint, 0},
		{4, "double_value", kindFixed64, 0},
		{5, "array_value", kindMessage, msgArrayValue},
		{6, "kvlist_value", kindMessage, msgKeyValueList},
		{7, "bytes_value", kindBytes, 0},
		{8, "string_value_strindex", kindVarint, 0},
	},
	msgArrayValue:   {{1, "values", kindMessage, msgAnyValue}},
	msgKeyValueList: {{1, "values", kindMessage, msgKeyValue}},
	msgSpan: {
		{1, "trace_id", kindTraceID, 0},
		{2, "span_id", kindSpanID, 0},
		{3, "trace_state", kindBytes, 0},
		{4, "parent_span_id", kindSpanID, 0},
		{5, "name", kindBytes, 0},
		{6, "kind", kindVarint, 0},
		{7, "start_time_unix_nano", kindFixed64, 0},
		{8, "end_time_unix_nano", kindFixed64, 0},
		{9, "attributes", kindMessage, msgKeyValue},
		{10, "dropped_attributes_count", kindVarint, 0},
		{11, "events", kindMessage, msgEvent},
		{12, "dropped_events_count", kindVarint, 0},
		{13, "links", kindMessage, msgLink},
		{14, "dropped_links_count", kindVarint, 0},
		{15, "status", kindMessage, msgStatus},
		{16, "flags", kindFixed32, 0},
	},
	msgEvent: {
		{1, "time_unix_nano", kindFixed64, 0},
		{2, "name", kindBytes, 0},
		{3, "attributes", kindMessage, msgKeyValue},
		{4, "dropped_attributes_count", kindVarint, 0},
	},
	msgLink: {
		{1, "trace_id", kindTraceID, 0},
		{2, "span_id", kindSpanID, 0},
		{3, "trace_state", kindBytes, 0},
		{4, "attributes", kindMessage, msgKeyValue},
		{5, "dropped_attributes_count", kindVarint, 0},
		{6, "flags", kindFixed32, 0},
	},
	msgStatus: {
		{2, "message", kindBytes, 0},
		{3, "code", kindVarint, 0},
	},
	msgMetric: {
		{1, "name", kindBytes, 0},
		{2, "description", kindBytes, 0},
		{3, "unit", kindBytes, 0},
		{5, "gauge", kindMessage, msgGauge},
		{7, "sum", kindMessage, msgSum},
		{9, "histogram", kindMessage, msgHistogram},
		{10, "exponential_histogram", kindMessage, msgExponentialHistogram},
		{11, "summary", kindMessage, msgSummary},
		{12, "metadata", kindMessage, msgKeyValue},
	},
	msgGauge: {{1, "data_points", kindMessage, msgNumberPoint}},
	msgSum: {
		{1, "data_points", kindMessage, msgNumberPoint},
		{2, "aggregation_temporality", kindVarint, 0},
		{3, "is_monotonic", kindVarint, 0},
	},
	msgHistogram: {
		{1, "data_points", kindMessage, msgHistogramPoint},
		{2, "aggregation_temporality", kindVarint, 0},
	},
	msgExponentialHistogram: {
		{1, "data_points", kindMessage, msgExponentialHistogramPoint},
		{2, "aggregation_temporality", kindVarint, 0},
	},
	msgSummary: {{1, "data_points", kindMessage, msgSummaryPoint}},
	msgNumberPoint: {
		{2, "start_time_unix_nano", kindFixed64, 0},
		{3, "time_unix_nano", kindFixed64, 0},
		{4, "as_double", kindFixed64, 0},
		{5, "exemplars", kindMessage, msgExemplar},
		{6, "as_int", kindFixed64, 0},
		{7, "attributes", kindMessage, msgKeyValue},
		{8, "flags", kindVarint, 0},
	},
	msgHistogramPoint: {
		{2, "start_time_unix_nano", kindFixed64, 0},
		{3, "time_unix_nano", kindFixed64, 0},
		{4, "count", kindFixed64, 0},
		{5, "sum", kindFixed64, 0},
		{6, "bucket_counts", kindPackedFixed64, 0},
		{7, "explicit_bounds", kindPackedFixed64, 0},
		{8, "exemplars", kindMessage, msgExemplar},
		{9, "attributes", kindMessage, msgKeyValue},
		{10, "flags", kindVarint, 0},
		{11, "min", kindFixed64, 0},
		{12, "max", kindFixed64, 0},
	},
	msgExponentialHistogramPoint: {
		{1, "attributes", kindMessage, msgKeyValue},
		{2, "start_time_unix_nano", kindFixed64, 0},
		{3, "time_unix_nano", kindFixed64, 0},
		{4, "count", kindFixed64, 0},
		{5, "sum", kindFixed64, 0},
		{6, "scale", kindVarint, 0},
		{7, "zero_count", kindFixed64, 0},
		{8, "positive", kindMessage, msgBuckets},
		{9, "negative", kindMessage, msgBuckets},
		{10, "flags", kindVarint, 0},
		{11, "exemplars", kindMessage, msgExemplar},
		{12, "min", kindFixed64, 0},
		{13, "max", kindFixed64, 0},
		{14, "zero_threshold", kindFixed64, 0},
	},
	msgBuckets: {
		{1, "offset", kindVarint, 0},
		{2, "bucket_counts", kindPackedVarint, 0},
	},
	msgSummaryPoint: {
		{2, "start_time_unix_nano", kindFixed64, 0},
		{3, "time_unix_nano", kindFixed64, 0},
		{4, "count", kindFixed64, 0},
		{5, "sum", kindFixed64, 0},
		{6, "quantile_values", kindMessage, msgQuantile},
		{7, "attributes", kindMessage, msgKeyValue},
		{8, "flags", kindVarint, 0},
	},
	msgQuantile: {
		{1, "quantile", kindFixed64, 0},
		{2, "value", kindFixed64, 0},
	},
	msgExemplar: {
		{2, "time_unix_nano", kindFixed64, 0},
		{3, "as_double", kindFixed64, 0},
		{4, "span_id", kindSpanID, 0},
		{5, "trace_id", kindTraceID, 0},
		{6, "as_int", kindFixed64, 0},
		{7, "filtered_attributes", kindMessage, msgKeyValue},
	},
	msgLogRecord: {
		{1, "time_unix_nano", kindFixed64, 0},
		{2, "severity_number", kindVarint, 0},
		{3, "severity_text", kindBytes, 0},
		{5, "body", kindMessage, msgAnyValue},
		{6, "attributes", kindMessage, msgKeyValue},
		{7, "dropped_attributes_count", kindVarint, 0},
		{8, "flags", kindFixed32, 0},
		{9, "trace_id", kindTraceID, 0},
		{10, "span_id", kindSpanID, 0},
		{11, "observed_time_unix_nano", kindFixed64, 0},
		{12, "event_name", kindBytes, 0},
	},
}
