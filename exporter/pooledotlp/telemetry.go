package pooledotlp

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// The values of the attribute "reason".
const (
	dropPartialSuccess   = "partial_success"
	dropRejected         = "rejected"
	dropRetriesExhausted = "retries_exhausted"
	dropShutdown         = "shutdown"
	dropTooLarge         = "too_large"
	dropUndecodable      = "undecodable"
)

// telemetry records the exporter's own metrics.
type telemetry struct {
	builder *metadata.TelemetryBuilder
	set     attribute.Set
	// base are the attributes that every metric has; outcomes adds each outcome to them. Slices are kept, because passing an
	// option by itself makes one each time.
	base     metric.MeasurementOption
	add      []metric.AddOption
	record   []metric.RecordOption
	outcomes [attempt.Canceled + 1][]metric.AddOption
}

func newTelemetry(set exporter.Settings, signal wire.Signal, stats func() connpool.Stats, pooled *bufpool.Pool) (*telemetry, error) {
	builder, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	t := &telemetry{
		builder: builder,
		set: attribute.NewSet(
			attribute.String("exporter", set.ID.String()), attribute.String("data_type", signal.String())),
	}
	t.base = metric.WithAttributeSet(t.set)
	t.add, t.record = []metric.AddOption{t.base}, []metric.RecordOption{t.base}
	for i := range t.outcomes {
		t.outcomes[i] = []metric.AddOption{t.with("outcome", attempt.Outcome(i).String())}
	}
	if err := t.observeConnections(stats); err != nil {
		return nil, err
	}
	if pooled != nil {
		err = t.observeBuffers(pooled)
	}
	return t, err
}

func (t *telemetry) with(key, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(t.set.ToSlice(), attribute.String(key, value))...))
}

func (t *telemetry) attempted(ctx context.Context, a attempt.Attempt, uncompressedBytes int) {
	t.builder.ExporterPooledotlpAttempts.Add(ctx, 1, t.outcomes[a.Outcome]...)
	t.builder.ExporterPooledotlpAttemptDuration.Record(ctx, a.Latency.Seconds(), t.record...)
	t.builder.ExporterPooledotlpUncompressedBytes.Add(ctx, int64(uncompressedBytes), t.add...)
	t.builder.ExporterPooledotlpWireBytes.Add(ctx, int64(a.Bytes), t.add...)
}

func (t *telemetry) retried(ctx context.Context) {
	t.builder.ExporterPooledotlpRetries.Add(ctx, 1, t.add...)
}

func (t *telemetry) compressed(ctx context.Context, d time.Duration) {
	t.builder.ExporterPooledotlpCompressionTime.Add(ctx, d.Seconds(), t.add...)
}

func (t *telemetry) compressionRefused(ctx context.Context) {
	t.builder.ExporterPooledotlpCompressionRefusals.Add(ctx, 1, t.add...)
}

func (t *telemetry) accepted(ctx context.Context, items int64) {
	t.builder.ExporterPooledotlpItems.Add(ctx, items, t.add...)
}

func (t *telemetry) partialSuccess(ctx context.Context, rejected int64) {
	t.builder.ExporterPooledotlpPartialSuccesses.Add(ctx, 1, t.add...)
	if rejected > 0 {
		t.dropped(ctx, dropPartialSuccess, int(rejected))
	}
}

func (t *telemetry) dropped(ctx context.Context, reason string, items int) {
	t.builder.ExporterPooledotlpDroppedItems.Add(ctx, int64(items), t.with("reason", reason))
}

func (t *telemetry) observeConnections(stats func() connpool.Stats) error {
	ready, connecting := t.with("state", "ready"), t.with("state", "connecting")
	ejected, unhealthy := t.with("state", "ejected"), t.with("state", "unhealthy")
	err := t.builder.RegisterExporterPooledotlpConnectionsCallback(func(_ context.Context, o metric.Int64Observer) error {
		s := stats()
		o.Observe(int64(s.Ready), ready)
		o.Observe(int64(s.Connecting), connecting)
		o.Observe(int64(s.Ejected), ejected)
		o.Observe(int64(s.Unhealthy), unhealthy)
		return nil
	})
	if err != nil {
		return err
	}
	return t.registerAll([]registration{
		{t.builder.RegisterExporterPooledotlpConnectionsOpenedCallback, func() int64 { return int64(stats().Opened) }},
		{t.builder.RegisterExporterPooledotlpConnectionsClosedCallback, func() int64 { return int64(stats().Closed) }},
		{t.builder.RegisterExporterPooledotlpEjectionsCallback, func() int64 { return int64(stats().Ejections) }},
		{t.builder.RegisterExporterPooledotlpFailedHealthChecksCallback, func() int64 { return int64(stats().FailedChecks) }},
		{t.builder.RegisterExporterPooledotlpPicksCallback, func() int64 { return int64(stats().Picks) }},
		{t.builder.RegisterExporterPooledotlpInFlightCallback, func() int64 { return stats().InFlight }},
	})
}

func (t *telemetry) observeBuffers(pool *bufpool.Pool) error {
	return t.registerAll([]registration{
		{t.builder.RegisterExporterPooledotlpBufferHitsCallback, func() int64 { return int64(pool.Stats().Hits) }},
		{t.builder.RegisterExporterPooledotlpBufferMissesCallback, func() int64 { return int64(pool.Stats().Misses) }},
		{t.builder.RegisterExporterPooledotlpBufferIdleBytesCallback, func() int64 { return pool.Stats().IdleBytes }},
		{t.builder.RegisterExporterPooledotlpBufferInUseBytesCallback, func() int64 { return pool.Stats().InUseBytes }},
	})
}

// registration is an asynchronous metric with one value.
type registration struct {
	register func(metric.Int64Callback) error
	value    func() int64
}

func (t *telemetry) registerAll(registrations []registration) error {
	for _, r := range registrations {
		err := r.register(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(r.value(), t.base)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *telemetry) shutdown() { t.builder.Shutdown() }

// withoutOwnTelemetry is for the second of two chains of the exporter helper: the first counts, traces and logs the same
// requests.
func withoutOwnTelemetry(set exporter.Settings) exporter.Settings {
	set.Logger = zap.NewNop()
	set.MeterProvider = noop.NewMeterProvider()
	set.TracerProvider = outerSpans{}
	return set
}

// outerSpans starts no spans, so that the retries' events land on the span around them.
type outerSpans struct{ embedded.TracerProvider }

func (outerSpans) Tracer(string, ...trace.TracerOption) trace.Tracer { return outerSpan{} }

type outerSpan struct{ embedded.Tracer }

func (outerSpan) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return ctx, trace.SpanFromContext(ctx)
}
