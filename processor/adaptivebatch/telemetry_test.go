package adaptivebatch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadatatest"
)

func settings(tel *componenttest.Telemetry) processor.Settings {
	return metadatatest.NewSettings(tel)
}

// attributes are those of every metric, and those given.
func attributes(more ...attribute.KeyValue) attribute.Set {
	id := metadata.Type.String()
	return attribute.NewSet(append(more, attribute.String("processor", id), attribute.String("data_type", "traces"))...)
}

func dataPoint(value int64, more ...attribute.KeyValue) []metricdata.DataPoint[int64] {
	return []metricdata.DataPoint[int64]{{Value: value, Attributes: attributes(more...)}}
}

func TestMetricsTellWhatIsHeldAndDecided(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		tel := componenttest.NewTelemetry()
		set := settings(tel)
		u := startWith(t, path, set, &backend{}, all(fixed(10), room(1, 10)))
		a := u.goSend(t.Context(), 0, 10)
		b := u.goSend(t.Context(), 10, 10)
		bytes := bytesOf(0, 10)
		same := metricdatatest.IgnoreTimestamp()
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytes(t, tel, dataPoint(bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, tel, dataPoint(bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchWaitingBytes(t, tel, dataPoint(bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchWaitingBytesLimit(t, tel, dataPoint(10*bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchInFlight(t, tel, dataPoint(1), same)
		metadatatest.AssertEqualProcessorAdaptivebatchStreams(t, tel, dataPoint(1), same)
		metadatatest.AssertEqualProcessorAdaptivebatchTarget(t, tel, dataPoint(10), same)
		metadatatest.AssertEqualProcessorAdaptivebatchConcurrencyLimit(t, tel, dataPoint(256), same)
		metadatatest.AssertEqualProcessorAdaptivebatchLinger(t, tel, []metricdata.DataPoint[float64]{{Value: 1, Attributes: attributes()}}, same)
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		metadatatest.AssertEqualProcessorAdaptivebatchBatches(t, tel, dataPoint(2, attribute.String("trigger", "size")), same)
		metadatatest.AssertEqualProcessorAdaptivebatchAdmissionWaits(t, tel, dataPoint(1), same)
		metadatatest.AssertEqualProcessorAdaptivebatchAdmissionWaitTime(t, tel,
			[]metricdata.DataPoint[float64]{{Value: roundTrip.Seconds(), Attributes: attributes()}}, same)
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytes(t, tel, dataPoint(0), same)
		items, err := tel.GetMetric("otelcol_processor_adaptivebatch_batch_items")
		require.NoError(t, err)
		assert.EqualValues(t, 20, items.Data.(metricdata.Histogram[int64]).DataPoints[0].Sum)
		require.NoError(t, u.Shutdown(t.Context()))
		require.NoError(t, tel.Shutdown(context.Background()))
	})
}

func TestRefusalsLossesAndIsolationsAreCounted(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		tel := componenttest.NewTelemetry()
		set := settings(tel)
		next := &backend{answer: refusing(0, permanent(3))}
		u := startWith(t, path, set, next, all(fixed(20), func(cfg *Config) { cfg.WaitForResult = false }, byTenant,
			func(cfg *Config) { cfg.MetadataCardinalityLimit = 1 }))
		require.NoError(t, u.send(t.Context(), 0, 10))
		require.Error(t, u.send(tenant(t.Context(), "b"), 10, 10))
		require.NoError(t, u.send(t.Context(), 10, 10))
		time.Sleep(time.Second)
		require.NoError(t, u.send(tenant(t.Context(), "b"), 20, 20))
		same := metricdatatest.IgnoreTimestamp()
		metadatatest.AssertEqualProcessorAdaptivebatchLostItems(t, tel, dataPoint(10), same)
		metadatatest.AssertEqualProcessorAdaptivebatchIsolationRequests(t, tel, dataPoint(2), same)
		metadatatest.AssertEqualProcessorAdaptivebatchStreamsEvicted(t, tel, dataPoint(1), same)
		metadatatest.AssertEqualProcessorAdaptivebatchRefusedCalls(t, tel, dataPoint(1, attribute.String("reason", "metadata_cardinality")), same)
		require.NoError(t, u.Shutdown(t.Context()))
		require.NoError(t, tel.Shutdown(context.Background()))
	})
}

func TestBatchSpanLinksItsProducers(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		tel := componenttest.NewTelemetry()
		set := settings(tel)
		tracer := tel.NewTelemetrySettings().TracerProvider.Tracer("test")
		var inExport trace.SpanContext
		next := &backend{answer: func(ctx context.Context, _ []int64) error {
			inExport = trace.SpanContextFromContext(ctx)
			time.Sleep(roundTrip)
			return nil
		}}
		u := startWith(t, path, set, next, fixed(150))
		var want []trace.SpanContext
		var answers []<-chan error
		for i := range 150 {
			ctx, span := tracer.Start(t.Context(), "producer")
			want = append(want, span.SpanContext())
			answers = append(answers, u.goSend(ctx, i, 1))
			span.End()
		}
		for _, answer := range answers {
			require.NoError(t, <-answer)
		}
		require.NoError(t, u.Shutdown(t.Context()))
		spans := tel.SpanRecorder.Ended()
		batchSpan := spans[len(spans)-1]
		assert.Equal(t, "adaptivebatch/export", batchSpan.Name())
		assert.Equal(t, inExport, batchSpan.SpanContext(), "the exporter's spans are its children")
		require.Len(t, batchSpan.Links(), maxLinks)
		for i, link := range batchSpan.Links() {
			assert.Equal(t, want[i], link.SpanContext)
		}
		require.NoError(t, tel.Shutdown(context.Background()))
	})
}

func TestWithoutProducersSpansThereIsNone(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		tel := componenttest.NewTelemetry()
		u := startWith(t, path, settings(tel), &backend{}, nil)
		require.NoError(t, u.send(t.Context(), 0, 1))
		require.NoError(t, u.Shutdown(t.Context()))
		assert.Empty(t, tel.SpanRecorder.Ended())
		require.NoError(t, tel.Shutdown(context.Background()))
	})
}

func TestReportedAttemptsCountMoreThanTheCall(t *testing.T) {
	eachPath(t, func(t *testing.T, path payloadKind) {
		next := &backend{answer: func(ctx context.Context, spans []int64) error {
			assert.True(t, attempt.Observed(ctx), "the exporter sees that its caller is a queue")
			time.Sleep(time.Second) // two tries, with a wait between
			for range 2 {
				attempt.Report(ctx, attempt.Attempt{Items: len(spans), Latency: roundTrip, Outcome: attempt.Accepted})
			}
			return nil
		}}
		u := start(t, path, next, func(cfg *Config) { cfg.Timeout = time.Minute })
		for i := range 10 {
			require.NoError(t, u.send(t.Context(), i, 1))
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		assert.Less(t, u.control.Decision().Linger, roundTrip, "it goes by the attempts of 10 ms, not by calls of a second")
		assert.Positive(t, u.control.Decision().Linger)
	})
}
