package alertmanager

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
)

// upstream reads what Prometheus's and Alertmanager's parts count in their own registry. Its methods may be called at the same time.
type upstream struct {
	gatherer prometheus.Gatherer

	mu       sync.Mutex
	gathered time.Time
	families map[string]*dto.MetricFamily
}

// sameCollection is how long what was gathered serves: the callbacks of one collection come right after each other.
const sameCollection = time.Second

// source is a metric of the registry, as part of one of ours.
type source struct {
	name string
	// labels are those that become attributes of the same name; over all others the metric is summed up.
	labels []string
	// as is a further attribute, if it has a key.
	as attribute.KeyValue
}

// reading is a value of one set of attributes.
type reading struct {
	attributes attribute.Set
	value      float64
}

// read sums the sources up for each set of attributes. What the registry does not have is left out, and so are zeros of a metric with
// labels: Alertmanager has one for each kind of notifier that exists.
func (u *upstream) read(own attribute.KeyValue, sources ...source) []reading {
	families := u.gather()
	sums := map[attribute.Distinct]reading{}
	for _, s := range sources {
		for _, m := range families[s.name].GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			if value == 0 && slices.Contains(s.labels, "integration") {
				continue
			}
			attributes := []attribute.KeyValue{own}
			if s.as.Valid() {
				attributes = append(attributes, s.as)
			}
			for _, label := range m.GetLabel() {
				if slices.Contains(s.labels, label.GetName()) {
					attributes = append(attributes, attribute.String(label.GetName(), label.GetValue()))
				}
			}
			set := attribute.NewSet(attributes...)
			sums[set.Equivalent()] = reading{attributes: set, value: sums[set.Equivalent()].value + value}
		}
	}
	return slices.Collect(maps.Values(sums))
}

func (u *upstream) gather() map[string]*dto.MetricFamily {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); now.Sub(u.gathered) >= sameCollection {
		families, _ := u.gatherer.Gather() // a metric that fails is missing, the others are there
		u.families = make(map[string]*dto.MetricFamily, len(families))
		for _, family := range families {
			u.families[family.GetName()] = family
		}
		u.gathered = now
	}
	return u.families
}
