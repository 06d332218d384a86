package adaptivebatch

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

func TestMetricsAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.MetricsSink)
		cfg := createDefaultConfig().(*Config)
		fixed(20)(cfg)
		p, err := NewFactory().CreateMetrics(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, sink)
		require.NoError(t, err)
		answers := make(chan error, 2)
		for range 2 {
			md := testdata.GenerateMetrics(7)
			require.Equal(t, 14, md.DataPointCount())
			go func() { answers <- p.ConsumeMetrics(t.Context(), md) }()
		}
		require.NoError(t, <-answers)
		require.NoError(t, <-answers)
		require.Len(t, sink.AllMetrics(), 1)
		assert.Equal(t, 28, sink.DataPointCount())
		assert.True(t, p.Capabilities().MutatesData)
		require.NoError(t, p.Shutdown(t.Context()))
	})
}

func TestLogsAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(consumertest.LogsSink)
		cfg := createDefaultConfig().(*Config)
		fixed(20)(cfg)
		p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), cfg, sink)
		require.NoError(t, err)
		answers := make(chan error, 2)
		for range 2 {
			go func() { answers <- p.ConsumeLogs(t.Context(), testdata.GenerateLogs(14)) }()
		}
		require.NoError(t, <-answers)
		require.NoError(t, <-answers)
		require.Len(t, sink.AllLogs(), 1)
		assert.Equal(t, 28, sink.LogRecordCount())
		assert.True(t, p.Capabilities().MutatesData)
		require.NoError(t, p.Shutdown(t.Context()))
	})
}

// joinedItems takes marked calls and keeps how many items each request had.
type joinedItems struct{ sizes []int }

func (*joinedItems) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (j *joinedItems) keep(r *wire.Request, err error) error {
	if err == nil {
		j.sizes = append(j.sizes, r.Items())
	}
	return err
}

func (j *joinedItems) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	return j.keep(bytepath.Metrics(ctx, md))
}

func (j *joinedItems) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	return j.keep(bytepath.Logs(ctx, ld))
}

func TestMetricsAndLogsAreBatchedAsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := createDefaultConfig().(*Config)
		fixed(20)(cfg)
		set := processortest.NewNopSettings(metadata.Type)
		next := &joinedItems{}
		metrics, err := NewFactory().CreateMetrics(t.Context(), set, cfg, next)
		require.NoError(t, err)
		logs, err := NewFactory().CreateLogs(t.Context(), set, cfg, next)
		require.NoError(t, err)
		answers := make(chan error, 4)
		for range 2 {
			encodedMetrics, err := wire.FromMetrics(testdata.GenerateMetrics(7), mem.NopBufferPool{})
			require.NoError(t, err)
			go func() {
				answers <- metrics.ConsumeMetrics(bytepath.NewContext(t.Context(), encodedMetrics), bytepath.MetricsMarker())
				encodedMetrics.Free()
			}()
		}
		require.NoError(t, <-answers)
		require.NoError(t, <-answers)
		for range 2 {
			encodedLogs, err := wire.FromLogs(testdata.GenerateLogs(14), mem.NopBufferPool{})
			require.NoError(t, err)
			go func() {
				answers <- logs.ConsumeLogs(bytepath.NewContext(t.Context(), encodedLogs), bytepath.LogsMarker())
				encodedLogs.Free()
			}()
		}
		require.NoError(t, <-answers)
		require.NoError(t, <-answers)
		assert.Equal(t, []int{28, 28}, next.sizes)
		require.Error(t, metrics.ConsumeMetrics(t.Context(), bytepath.MetricsMarker()), "a marker without its request")
		require.Error(t, logs.ConsumeLogs(t.Context(), bytepath.LogsMarker()), "a marker without its request")
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

func TestDecodedAndEncodedCallsInOnePipelineStayApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &backend{}
		asBytes := start(t, encodedKind, next, fixed(20))
		decodedCaller := &underTest{tracesProcessor: asBytes.tracesProcessor, t: t, path: decodedKind}
		a, b := asBytes.goSend(t.Context(), 0, 10), decodedCaller.goSend(t.Context(), 10, 10)
		require.NoError(t, <-a)
		require.NoError(t, <-b)
		assert.Equal(t, sequence(0, 20), next.took())
		assert.Equal(t, []int{10, 10}, next.sizes())
		asBytes.requireEmpty()
	})
}
