package payload

import "fmt"

// Signal names a kind of telemetry as the scenarios write it.
type Signal string

// The signals that can be generated.
const (
	Traces  Signal = "traces"
	Metrics Signal = "metrics"
	Logs    Signal = "logs"
)

// Signals lists every signal, in the order in which reports show them.
var Signals = []Signal{Traces, Metrics, Logs}

// GRPCMethod is the full name of the signal's OTLP/gRPC method.
func (s Signal) GRPCMethod() string {
	switch s {
	case Traces:
		return "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	case Metrics:
		return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
	default:
		return "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	}
}

// HTTPPath is the signal's default path in OTLP/HTTP.
func (s Signal) HTTPPath() string { return "/v1/" + string(s) }

// Validate refuses a signal that cannot be generated.
func (s Signal) Validate() error {
	for _, known := range Signals {
		if s == known {
			return nil
		}
	}
	return fmt.Errorf("`signal` must be one of %v, found %q", Signals, string(s))
}
