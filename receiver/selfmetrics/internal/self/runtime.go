package self

import (
	"context"
	"math"
	"runtime/metrics"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/window"
)

// The metrics of the Go runtime that are read, see https://pkg.go.dev/runtime/metrics.
const (
	memoryTotal     = "/memory/classes/total:bytes"
	memoryReleased  = "/memory/classes/heap/released:bytes"
	memoryStacks    = "/memory/classes/heap/stacks:bytes"
	memoryObjects   = "/memory/classes/heap/objects:bytes"
	memoryLimit     = "/gc/gomemlimit:bytes"
	allocatedBytes  = "/gc/heap/allocs:bytes"
	allocatedTimes  = "/gc/heap/allocs:objects"
	gcGoal          = "/gc/heap/goal:bytes"
	gcCycles        = "/gc/cycles/total:gc-cycles"
	gcPauses        = "/sched/pauses/total/gc:seconds"
	goroutines      = "/sched/goroutines:goroutines"
	processorsLimit = "/sched/gomaxprocs:threads"
)

var runtimeNames = []string{
	memoryTotal, memoryReleased, memoryStacks, memoryObjects, memoryLimit, allocatedBytes, allocatedTimes,
	gcGoal, gcCycles, gcPauses, goroutines, processorsLimit,
}

// Runtime reads what the Go runtime says of itself.
type Runtime struct {
	samples []metrics.Sample
	window  *window.Window
	now     func() time.Time
}

// NewRuntime returns the source for the Go runtime.
func NewRuntime() *Runtime {
	r := &Runtime{window: window.New(1), now: time.Now}
	for _, name := range runtimeNames {
		r.samples = append(r.samples, metrics.Sample{Name: name})
	}
	return r
}

// Read implements source.Source. It never blocks.
func (g *Runtime) Read(context.Context) source.Reading {
	metrics.Read(g.samples)
	values := make(map[string]int64, len(g.samples))
	for _, s := range g.samples {
		if s.Value.Kind() == metrics.KindUint64 {
			values[s.Name] = source.Signed(s.Value.Uint64())
		}
	}
	pauses := g.pauses()
	return source.Reading{Found: []source.Finding{func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		recordRuntime(mb, now, values)
		for i, pause := range pauses {
			mb.RecordOtelcolSelfGcPauseDataPoint(now, pause, source.QuantileValues[i])
		}
	}}}
}

func recordRuntime(mb *metadata.MetricsBuilder, now pcommon.Timestamp, values map[string]int64) {
	mb.RecordGoGoroutineCountDataPoint(now, values[goroutines])
	mb.RecordGoMemoryAllocatedDataPoint(now, values[allocatedBytes])
	mb.RecordGoMemoryAllocationsDataPoint(now, values[allocatedTimes])
	mb.RecordGoMemoryGcCyclesDataPoint(now, values[gcCycles])
	mb.RecordGoMemoryGcGoalDataPoint(now, values[gcGoal])
	if limit := values[memoryLimit]; limit != math.MaxInt64 {
		mb.RecordGoMemoryLimitDataPoint(now, limit)
	}
	stacks := values[memoryStacks]
	other := values[memoryTotal] - values[memoryReleased] - stacks
	mb.RecordGoMemoryUsedDataPoint(now, stacks, metadata.AttributeGoMemoryTypeStack)
	mb.RecordGoMemoryUsedDataPoint(now, other, metadata.AttributeGoMemoryTypeOther)
	mb.RecordGoProcessorLimitDataPoint(now, values[processorsLimit])
	mb.RecordOtelcolSelfHeapUsageDataPoint(now, values[memoryObjects])
}

// pauses returns the quantiles of the pauses since the last call, or nil when there were none.
func (g *Runtime) pauses() []float64 {
	i := slices.IndexFunc(g.samples, func(s metrics.Sample) bool { return s.Name == gcPauses })
	if g.samples[i].Value.Kind() != metrics.KindFloat64Histogram {
		return nil // a Go version without it
	}
	h := g.samples[i].Value.Float64Histogram()
	// The runtime counts by bucket, and gives the lower bound of each and the upper bound of the last.
	counts := make([]float64, len(h.Counts))
	total := 0.0
	for i, count := range h.Counts {
		total += float64(count)
		counts[i] = total
	}
	bounds := h.Buckets[1:]
	g.window.Begin(g.now(), "")
	var observed window.Buckets
	g.window.Histogram([]byte(gcPauses), bounds, counts, &observed)
	g.window.End()
	return observed.Quantiles(source.Quantiles...)
}
