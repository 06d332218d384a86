package adaptivebatch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadatatest"
)

// As of pipelines traces/a and traces/b that both list adaptivebatch.
func TestPipelinesThatListTheSameProcessorAreObservedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := componenttest.NewTelemetry()
		f := NewFactory()
		a := startFrom(t, f, decodedKind, settings(tel), &backend{}, all(fixed(10), room(2, 10)))
		b := startFrom(t, f, decodedKind, settings(tel), &backend{}, all(fixed(20), room(3, 5)))
		sent, queued := a.goSend(t.Context(), 0, 10), b.goSend(t.Context(), 10, 10)
		bytes := bytesOf(0, 10)
		same := metricdatatest.IgnoreTimestamp()
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytes(t, tel, dataPoint(2*bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, tel, dataPoint(5*bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchWaitingBytes(t, tel, dataPoint(0), same)
		metadatatest.AssertEqualProcessorAdaptivebatchWaitingBytesLimit(t, tel, dataPoint(15*bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchInFlight(t, tel, dataPoint(1), same)
		metadatatest.AssertEqualProcessorAdaptivebatchStreams(t, tel, dataPoint(2), same)
		metadatatest.AssertEqualProcessorAdaptivebatchConcurrencyLimit(t, tel, dataPoint(512), same)
		metadatatest.AssertEqualProcessorAdaptivebatchTarget(t, tel, dataPoint(20), same)
		metadatatest.AssertEqualProcessorAdaptivebatchLinger(t, tel, []metricdata.DataPoint[float64]{{Value: 1, Attributes: attributes()}}, same)

		require.NoError(t, <-sent)
		require.NoError(t, a.Shutdown(t.Context()))
		require.NoError(t, a.Shutdown(t.Context()))
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytes(t, tel, dataPoint(bytes), same)
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, tel, dataPoint(3*bytes), same)
		require.NoError(t, <-queued)
		require.NoError(t, b.Shutdown(t.Context()))
		_, err := tel.GetMetric("otelcol_processor_adaptivebatch_pending_bytes_limit")
		require.Error(t, err, "nobody is left")

		c := startFrom(t, f, decodedKind, settings(tel), &backend{}, room(1, 1))
		require.NoError(t, a.Shutdown(t.Context()))
		metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, tel, dataPoint(bytes), same)
		require.NoError(t, c.Shutdown(t.Context()))
		require.NoError(t, tel.Shutdown(context.Background()))
	})
}

// A Collector that reads its configuration again has a new provider of metrics. The processors of before may end before the new ones start, or after.
func TestAProcessorIsObservedWithItsOwnProviderOnly(t *testing.T) {
	for name, oldFirst := range map[string]bool{"the old one ends first": true, "the old one ends last": false} {
		t.Run(name, func(t *testing.T) {
			f := NewFactory()
			before, after := componenttest.NewTelemetry(), componenttest.NewTelemetry()
			end := func(u *underTest, tel *componenttest.Telemetry) {
				require.NoError(t, u.Shutdown(t.Context()))
				require.NoError(t, tel.Shutdown(context.Background()))
			}
			same := metricdatatest.IgnoreTimestamp()
			old := startFrom(t, f, decodedKind, settings(before), &backend{}, room(1, 1))
			if oldFirst {
				end(old, before)
			}
			anew := startFrom(t, f, decodedKind, settings(after), &backend{}, room(2, 1))
			metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, after, dataPoint(2*bytesOf(0, 10)), same)
			if !oldFirst {
				metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, before, dataPoint(bytesOf(0, 10)), same)
				end(old, before)
			}
			metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, after, dataPoint(2*bytesOf(0, 10)), same)
			end(anew, after)
		})
	}
}

func TestProcessorsComeAndGoWhileMetricsAreRead(t *testing.T) {
	tel := componenttest.NewTelemetry()
	f := NewFactory()
	stays := startFrom(t, f, decodedKind, settings(tel), &backend{}, room(1, 1))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				u := startFrom(t, f, decodedKind, settings(tel), &backend{}, room(1, 1))
				assert.NoError(t, u.Shutdown(t.Context()))
			}
		})
	}
	for range 50 {
		_, err := tel.GetMetric("otelcol_processor_adaptivebatch_pending_bytes_limit")
		require.NoError(t, err)
	}
	wg.Wait()
	metadatatest.AssertEqualProcessorAdaptivebatchPendingBytesLimit(t, tel, dataPoint(bytesOf(0, 10)), metricdatatest.IgnoreTimestamp())
	require.NoError(t, stays.Shutdown(t.Context()))
	require.NoError(t, tel.Shutdown(context.Background()))
}
