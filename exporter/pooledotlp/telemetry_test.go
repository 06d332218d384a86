package pooledotlp

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/metadatatest"
)

// byAttribute returns the values of a counter or gauge by one attribute.
func byAttribute(t testing.TB, m metricdata.Metrics, key attribute.Key) map[string]int64 {
	t.Helper()
	var points []metricdata.DataPoint[int64]
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		points = data.DataPoints
	case metricdata.Gauge[int64]:
		points = data.DataPoints
	default:
		t.Fatalf("%s is a %T", m.Name, data)
	}
	out := map[string]int64{}
	for _, dp := range points {
		value, _ := dp.Attributes.Value(key)
		out[value.AsString()] = dp.Value
	}
	return out
}

func TestMetricsTellWhatWasSent(t *testing.T) {
	endpoint := startBackend(t, accept)
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{"endpoint": endpoint, "compression": "zstd"}))
	startComponent(t, e, componenttest.NewNopHost())
	ctx, seen := observed(context.Background())
	for range 3 {
		require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
	}

	base := attribute.NewSet(attribute.String("exporter", set.ID.String()), attribute.String("data_type", "traces"))
	point := func(value int64) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Attributes: base, Value: value}}
	}
	noTime, noExemplars := metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars()
	metadatatest.AssertEqualExporterPooledotlpItems(t, tel, point(300), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpUncompressedBytes(t, tel, point(int64(3*wireTraces(t, spans(100)).Bytes())), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpWireBytes(t, tel, point(int64(3*seen.list[0].Bytes)), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpPicks(t, tel, point(3), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpConnectionsOpened(t, tel, point(1), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpInFlight(t, tel, point(0), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpBufferInUseBytes(t, tel, point(0), noTime, noExemplars)
	metadatatest.AssertEqualExporterPooledotlpAttempts(t, tel, []metricdata.DataPoint[int64]{{
		Attributes: attribute.NewSet(append(base.ToSlice(), attribute.String("outcome", "accepted"))...), Value: 3,
	}}, noTime, noExemplars)
	connections, err := tel.GetMetric("otelcol_exporter_pooledotlp_connections")
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{"ready": 1, "connecting": 0, "ejected": 0, "unhealthy": 0}, byAttribute(t, connections, "state"))
	duration, err := tel.GetMetric("otelcol_exporter_pooledotlp_attempt_duration")
	require.NoError(t, err)
	assert.EqualValues(t, 3, duration.Data.(metricdata.Histogram[float64]).DataPoints[0].Count)
	compressing, err := tel.GetMetric("otelcol_exporter_pooledotlp_compression_time")
	require.NoError(t, err)
	assert.Positive(t, compressing.Data.(metricdata.Sum[float64]).DataPoints[0].Value)
	assert.Positive(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_buffer_misses"))
	assert.Positive(t, sumOf(t, tel, "otelcol_exporter_pooledotlp_buffer_idle_bytes"))
}

// As JSON a request is sent at another size than it is queued.
func TestTheBytesOfJSONAreThoseOfJSON(t *testing.T) {
	for _, algorithm := range []string{"none", "gzip"} {
		var received atomic.Int64
		url := startHTTPBackend(t, func(_ http.ResponseWriter, _ *http.Request, body []byte) { received.Add(int64(len(body))) })
		set, tel := measuredSettings(t)
		e := newTracesExporter(t, set, newConfig(t, map[string]any{"protocol": "http/json", "endpoint": url, "compression": algorithm}))
		startComponent(t, e, componenttest.NewNopHost())
		ctx, _ := observed(context.Background())
		require.NoError(t, e.ConsumeTraces(ctx, spans(100)))
		plain, err := marshalJSON(wireTraces(t, spans(100)))
		require.NoError(t, err)
		assert.EqualValues(t, len(plain), sumOf(t, tel, "otelcol_exporter_pooledotlp_uncompressed_bytes"), algorithm)
		assert.Equal(t, received.Load(), sumOf(t, tel, "otelcol_exporter_pooledotlp_wire_bytes"), algorithm)
	}
}
