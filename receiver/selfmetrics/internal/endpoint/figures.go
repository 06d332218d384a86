package endpoint

import (
	"math"
	"net"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

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
	values    map[key]float64 // gauges as they are, counters as increase per second
	durations map[key]*window.Buckets
}

// reader turns families into figures. It remembers counters between scrapes, and is not safe for concurrent use.
type reader struct {
	window *window.Window
	// Scratch space, so that a scrape of known series allocates little.
	seriesKey      []byte
	bounds, counts []float64
}

func (r *reader) read(families []*dto.MetricFamily, now time.Time) figures {
	figs := figures{values: make(map[key]float64), durations: make(map[key]*window.Buckets)}
	r.window.Begin(now, instanceOf(families))
	for _, mf := range families {
		f, ok := lookup(mf.GetName())
		if !ok {
			continue
		}
		for _, m := range mf.GetMetric() {
			r.readMetric(f, mf.GetName(), m, figs)
		}
	}
	r.window.End()
	return figs
}

func (r *reader) readMetric(f family, name string, m *dto.Metric, figs figures) {
	k, ok := keyOf(f, m.GetLabel())
	if !ok {
		return
	}
	switch {
	case m.GetHistogram() != nil:
		r.setSeriesKey(name, m.GetLabel())
		buckets, found := figs.durations[k]
		if !found {
			buckets = &window.Buckets{}
		}
		r.setBuckets(m.GetHistogram(), f.scale)
		if r.window.Histogram(r.seriesKey, r.bounds, r.counts, buckets) {
			figs.durations[k] = buckets
		}
	case m.GetCounter() != nil:
		r.setSeriesKey(name, m.GetLabel())
		if rate, ok := r.window.Rate(r.seriesKey, m.GetCounter().GetValue()); ok {
			figs.values[k] += rate
		}
	case m.GetGauge() != nil:
		if v := m.GetGauge().GetValue(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			figs.values[k] += v
		}
	}
}

// keyOf returns false for series that are none of ours: RPC and HTTP instrumentation measures more than telemetry.
func keyOf(f family, labels []*dto.LabelPair) (key, bool) {
	k := key{role: f.role, signal: f.signal}
	var route, method, host, port string
	for _, l := range labels {
		switch name, value := l.GetName(), l.GetValue(); {
		case name == f.id:
			k.id = value
		case name == f.detail:
			k.detail = value
		case name == "data_type":
			k.signal = metadata.MapAttributeSignal[value]
		case name == "rpc_service" || name == "rpc_method":
			method += value
		case name == "http_route":
			route = value
		case name == "server_address":
			host = value
		case name == "server_port":
			port = value
		}
	}
	switch f.role {
	case rpcClientDuration:
		k.id = net.JoinHostPort(host, port)
		return k, strings.Contains(method, "opentelemetry.proto.collector.")
	case rpcServerDuration:
		return k, strings.Contains(method, "opentelemetry.proto.collector.")
	case httpClientDuration:
		k.id = net.JoinHostPort(host, port)
		return k, true
	case httpServerDuration:
		return k, strings.HasPrefix(route, "/v1")
	default:
		return k, true
	}
}

// setSeriesKey writes the identity of a series: its name and labels, in the order of the labels' names.
func (r *reader) setSeriesKey(name string, labels []*dto.LabelPair) {
	byName := func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) }
	if !slices.IsSortedFunc(labels, byName) {
		slices.SortFunc(labels, byName)
	}
	r.seriesKey = append(r.seriesKey[:0], name...)
	for _, l := range labels {
		// 0xff is not valid UTF-8, so it cannot be part of a name or value.
		r.seriesKey = append(r.seriesKey, 0xff)
		r.seriesKey = append(r.seriesKey, l.GetName()...)
		r.seriesKey = append(r.seriesKey, 0xff)
		r.seriesKey = append(r.seriesKey, l.GetValue()...)
	}
}

// setBuckets writes the bounds and counts of a classic histogram. The protocol buffer format may leave out the last
// bucket, whose count is the sample count.
func (r *reader) setBuckets(h *dto.Histogram, scale float64) {
	if scale == 0 {
		scale = 1
	}
	r.bounds, r.counts = r.bounds[:0], r.counts[:0]
	for _, b := range h.GetBucket() {
		r.bounds = append(r.bounds, b.GetUpperBound()*scale)
		r.counts = append(r.counts, float64(b.GetCumulativeCount()))
	}
	if n := len(r.bounds); n == 0 || !math.IsInf(r.bounds[n-1], 1) {
		r.bounds = append(r.bounds, math.Inf(1))
		r.counts = append(r.counts, float64(h.GetSampleCount()))
	}
}

// instanceOf returns what tells one run of the Collector from the next: the SDK gives every run its own
// service.instance.id unless somebody configures it.
func instanceOf(families []*dto.MetricFamily) string {
	for _, mf := range families {
		if mf.GetName() != infoFamily {
			continue
		}
		for _, m := range mf.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "service_instance_id" {
					return l.GetValue()
				}
			}
		}
	}
	return ""
}
