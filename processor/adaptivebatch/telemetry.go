package adaptivebatch

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

// The values of the attribute "trigger".
const (
	triggerSize     = "size"
	triggerBytes    = "bytes"
	triggerTimeout  = "timeout"
	triggerIdleSlot = "idle_slot"
	triggerShutdown = "shutdown"
)

// The values of the attribute "reason".
const (
	reasonPendingBytes = "pending_bytes"
	reasonWaitingBytes = "waiting_bytes"
	reasonMaxWait      = "max_wait"
	reasonCardinality  = "metadata_cardinality"
	reasonShutdown     = "shutdown"
)

// telemetry records the processor's own metrics, except for the gauges.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	tracer  trace.Tracer
	logger  *zap.Logger
	set     attribute.Set
	base    metric.MeasurementOption
	// triggers and reasons add each value to the attributes that every metric has.
	triggers, reasons map[string]metric.MeasurementOption
	// unobserve ends the observation by the gauges. It may be called again.
	unobserve func()
}

func newTelemetry(set processor.Settings, signal string) (*telemetry, error) {
	builder, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	t := &telemetry{
		builder: builder,
		tracer:  metadata.Tracer(set.TelemetrySettings),
		logger:  set.Logger,
		set:     attribute.NewSet(attribute.String("processor", set.ID.String()), attribute.String("data_type", signal)),
	}
	t.base = metric.WithAttributeSet(t.set)
	t.triggers = t.with("trigger", triggerSize, triggerBytes, triggerTimeout, triggerIdleSlot, triggerShutdown)
	t.reasons = t.with("reason", reasonPendingBytes, reasonWaitingBytes, reasonMaxWait, reasonCardinality, reasonShutdown)
	return t, nil
}

func (t *telemetry) with(key string, values ...string) map[string]metric.MeasurementOption {
	options := make(map[string]metric.MeasurementOption, len(values))
	for _, v := range values {
		options[v] = metric.WithAttributeSet(attribute.NewSet(append(t.set.ToSlice(), attribute.String(key, v))...))
	}
	return options
}

func (t *telemetry) refused(reason string) {
	t.builder.ProcessorAdaptivebatchRefusedCalls.Add(context.Background(), 1, t.reasons[reason])
}

func (t *telemetry) waited(d time.Duration) {
	t.builder.ProcessorAdaptivebatchAdmissionWaits.Add(context.Background(), 1, t.base)
	t.builder.ProcessorAdaptivebatchAdmissionWaitTime.Add(context.Background(), d.Seconds(), t.base)
}

func (t *telemetry) evicted() {
	t.builder.ProcessorAdaptivebatchStreamsEvicted.Add(context.Background(), 1, t.base)
}

func (t *telemetry) closed(trigger string, items int, bytes int64) {
	ctx := context.Background()
	t.builder.ProcessorAdaptivebatchBatches.Add(ctx, 1, t.triggers[trigger])
	t.builder.ProcessorAdaptivebatchBatchItems.Record(ctx, int64(items), t.base)
	t.builder.ProcessorAdaptivebatchBatchBytes.Record(ctx, bytes, t.base)
}

func (t *telemetry) isolated(requests int) {
	if requests > 0 {
		t.builder.ProcessorAdaptivebatchIsolationRequests.Add(context.Background(), int64(requests), t.base)
	}
}

func (t *telemetry) lost(items int, err error) {
	t.builder.ProcessorAdaptivebatchLostItems.Add(context.Background(), int64(items), t.base)
	t.logger.Error("Items could not be sent, and with `wait_for_result: false` nobody sends them again.",
		zap.Int("items", items), zap.Error(err))
}
