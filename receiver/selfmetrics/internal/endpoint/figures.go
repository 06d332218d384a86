package endpoint

import (
	"math"
	"net"
	"strings"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/window"
)

// key addresses one figure: series of one role that agree in the rest are added up.
type key struct {
	role   role
	signal metadata.AttributeSignal
	id     string
	detail string
}

// figures are what one scrape tells. What the endpoint does not report, or what has no increase yet, is not in the maps.
type figures struct {
	values    map[role]map[key]float64 // gauges as they are, counters as increase per second
	durations map[key]*window.Buckets
}

func (f figures) add(k key, v float64) {
	byKey := f.values[k.role]
	if byKey == nil {
		byKey = make(map[key]float64)
		f.values[k.role] = byKey
	}
	byKey[k] += v
}

// reader turns expositions into figures. It remembers counters between scrapes, and is not safe for concurrent use.
type reader struct{ window *window.Window }

func (r *reader) read(e *exposition, now time.Time) figures {
	figs := figures{values: make(map[role]map[key]float64), durations: make(map[key]*window.Buckets)}
	r.window.Begin(now, e.instance)
	for i := range e.samples {
		r.readSample(&e.samples[i], figs)
	}
	r.window.End()
	return figs
}

func (r *reader) readSample(s *sample, figs figures) {
	switch role := s.key.role; {
	case role.isHistogram():
		buckets, found := figs.durations[s.key]
		if !found {
			buckets = &window.Buckets{}
		}
		if r.window.Histogram(s.identity, s.bounds, s.counts, buckets) {
			figs.durations[s.key] = buckets
		}
	case role.isCounter():
		if rate, ok := r.window.Rate(s.identity, s.value); ok {
			figs.add(s.key, rate)
		}
	default:
		if !math.IsNaN(s.value) && !math.IsInf(s.value, 0) {
			figs.add(s.key, s.value)
		}
	}
}

// keyOf returns false for series that are none of ours: RPC and HTTP instrumentation measures more than telemetry.
func keyOf(f family, set []label) (key, bool) {
	k := key{role: f.role, signal: f.signal}
	var route, method, host, port string
	for _, l := range set {
		switch {
		case l.name == f.id:
			k.id = l.value
		case l.name == f.detail:
			k.detail = l.value
		case l.name == "data_type":
			k.signal = metadata.MapAttributeSignal[l.value]
		case l.name == "rpc_service" || l.name == "rpc_method":
			method += l.value
		case l.name == "http_route":
			route = l.value
		case l.name == "server_address":
			host = l.value
		case l.name == "server_port":
			port = l.value
		}
	}
	switch f.role {
	case rpcClientDuration, rpcServerDuration:
		if f.role == rpcClientDuration {
			k.id = net.JoinHostPort(host, port)
		}
		k.signal = serviceSignal(method)
		return k, k.signal != 0
	case httpClientDuration:
		k.id = net.JoinHostPort(host, port)
		return k, true
	case httpServerDuration:
		return k, strings.HasPrefix(route, "/v1")
	default:
		return k, true
	}
}

// serviceSignal returns the signal that an RPC exports, and zero for any other RPC. The method is spelled with its service, as in
// opentelemetry.proto.collector.trace.v1.TraceService/Export.
func serviceSignal(method string) metadata.AttributeSignal {
	_, of, _ := strings.Cut(method, "opentelemetry.proto.collector.")
	name, _, _ := strings.Cut(of, ".")
	switch name {
	case "trace":
		return metadata.AttributeSignalTraces
	case "metrics":
		return metadata.AttributeSignalMetrics
	case "logs":
		return metadata.AttributeSignalLogs
	case "profiles":
		return metadata.AttributeSignalProfiles
	default:
		return 0
	}
}
