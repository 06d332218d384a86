package adaptivebatch

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

// gauges observes the batchers of a factory. Each pipeline has a batcher of its own, but those of one processor and signal have their series
// in common, of which only the value that is observed last would be seen. So these are observed together, by callbacks that are registered
// once.
//
// Its mutex is taken before the SDK's, as for a registration, the SDK's before a group's, as in a callback, and a group's before a batcher's.
type gauges struct {
	mu     sync.Mutex
	groups map[groupKey]*group
}

// groupKey tells groups apart. A provider of metrics has one meter for each scope, and there is a new provider when the Collector reads its
// configuration again: the batchers of before and after have nothing in common, whichever are gone first.
type groupKey struct {
	meter     metric.Meter
	processor component.ID
	signal    string
}

// group is the live batchers of a processor and a signal.
type group struct {
	builder  *metadata.TelemetryBuilder // of its own, as it may outlive each of the batchers'
	series   metric.MeasurementOption
	mu       sync.Mutex
	batchers []*batcher
}

// add observes a batcher from now on, until the returned function is called, once or more.
func (g *gauges) add(set processor.Settings, signal string, b *batcher) (remove func(), err error) {
	key := groupKey{meter: metadata.Meter(set.TelemetrySettings), processor: set.ID, signal: signal}
	g.mu.Lock()
	defer g.mu.Unlock()
	if with := g.groups[key]; with != nil {
		with.change(func(live []*batcher) []*batcher { return append(live, b) })
	} else {
		builder, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
		if err != nil {
			return nil, err
		}
		alone := &group{builder: builder, series: b.telemetry.base, batchers: []*batcher{b}}
		if err := alone.register(); err != nil {
			builder.Shutdown()
			return nil, err
		}
		g.groups[key] = alone
	}
	return func() { g.remove(key, b) }, nil
}

func (g *gauges) remove(key groupKey, b *batcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := g.groups[key]
	if from == nil {
		return
	}
	from.change(func(live []*batcher) []*batcher {
		return slices.DeleteFunc(live, func(other *batcher) bool { return other == b })
	})
	if len(from.batchers) == 0 { // which only changes under the mutex that is held here
		from.builder.Shutdown()
		delete(g.groups, key)
	}
}

func (g *group) change(change func([]*batcher) []*batcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batchers = change(g.batchers)
}

// register registers the callbacks. Amounts and their bounds are added up; of what each batcher decides for itself the largest is shown.
func (g *group) register() error {
	for _, gauge := range []struct {
		register func(metric.Int64Callback) error
		value    func(*batcher) int64
		combine  func(a, b int64) int64
	}{
		{g.builder.RegisterProcessorAdaptivebatchPendingBytesCallback, func(b *batcher) int64 { return b.pending }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchBufferSizeCallback, (*batcher).bufferSize, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchPendingBytesLimitCallback, func(b *batcher) int64 { return b.cfg.MaxPendingBytes }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchWaitingBytesCallback, func(b *batcher) int64 { return b.waitingBytes }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchWaitingBytesLimitCallback, func(b *batcher) int64 { return b.cfg.MaxWaitingBytes }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchStreamsCallback, func(b *batcher) int64 { return int64(len(b.streams)) }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchInFlightCallback, func(b *batcher) int64 { return int64(b.inFlight.Exports) }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchConcurrencyLimitCallback, func(b *batcher) int64 { return int64(b.control.Decision().Limit) }, sum[int64]},
		{g.builder.RegisterProcessorAdaptivebatchTargetCallback, func(b *batcher) int64 { return int64(b.control.Decision().Target) }, largest[int64]},
	} {
		err := gauge.register(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(combined(g, gauge.value, gauge.combine), g.series)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return g.builder.RegisterProcessorAdaptivebatchLingerCallback(func(_ context.Context, o metric.Float64Observer) error {
		linger := func(b *batcher) float64 { return b.control.Decision().Linger.Seconds() }
		o.Observe(combined(g, linger, largest), g.series)
		return nil
	})
}

// combined returns the value of a group. Each batcher's, none of which is negative, is read under its mutex.
func combined[T int64 | float64](g *group, value func(*batcher) T, combine func(a, b T) T) T {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all T
	for _, b := range g.batchers {
		b.mu.Lock()
		v := value(b)
		b.mu.Unlock()
		all = combine(all, v)
	}
	return all
}

func sum[T int64 | float64](a, b T) T { return a + b }

func largest[T int64 | float64](a, b T) T { return max(a, b) }
