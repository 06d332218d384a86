package pooledotlp

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadatatest"
)

// observed is nopSettings with telemetry that can be read.
func observed(t *testing.T) (*componenttest.Telemetry, receiver.Settings) {
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := nopSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	return tel, set
}

func point(value int64, kv ...string) metricdata.DataPoint[int64] {
	attrs := []attribute.KeyValue{attribute.String("receiver", nopSettings().ID.String())}
	for i := 0; i < len(kv); i += 2 {
		attrs = append(attrs, attribute.String(kv[i], kv[i+1]))
	}
	return metricdata.DataPoint[int64]{Value: value, Attributes: attribute.NewSet(attrs...)}
}

func TestAcceptedAndRefusedItemsAreCountedOnBothPaths(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		tel, set := observed(t)
		r := startWith(t, defaultConfig(decode), set, nopHost())
		s := samples(t)[0]
		cc := dial(t, r.grpc)
		require.NoError(t, s.export(within(t), cc))
		r.sink.refuseWith(errors.New("no"))
		require.Error(t, s.export(within(t), cc))
		require.Error(t, s.export(within(t), cc))

		for name, want := range map[string]int64{"otelcol_receiver_accepted_spans": 2, "otelcol_receiver_refused_spans": 4, "otelcol_receiver_failed_spans": 0} {
			m, err := tel.GetMetric(name)
			require.NoError(t, err)
			assert.Equal(t, want, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value, name)
		}
	})
}

func TestMalformedRequestsAreCountedBySignal(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		tel, set := observed(t)
		r := startWith(t, defaultConfig(decode), set, nopHost())
		_, err := sendRaw(t, dial(t, r.grpc), logsNames, []byte{0x0a})
		require.Error(t, err)
		post(t, r.http, "/v1/traces", typeProto, "", []byte{0x0a})
		metadatatest.AssertEqualReceiverPooledotlpMalformedRequests(t, tel, []metricdata.DataPoint[int64]{
			point(1, "data_type", "logs"), point(1, "data_type", "traces"),
		}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	})
}

func TestThePathOfEverySignalIsPublished(t *testing.T) {
	for decode, want := range map[DecodeMode]int64{DecodeAlways: 0, DecodeAuto: 0, DecodeVerified: 1} {
		tel, set := observed(t)
		startWith(t, defaultConfig(decode), set, nopHost())
		metadatatest.AssertEqualReceiverPooledotlpBytePath(t, tel, []metricdata.DataPoint[int64]{
			point(want, "data_type", "traces"), point(want, "data_type", "metrics"), point(want, "data_type", "logs"),
		}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	}
}

func TestBuffersAreObserved(t *testing.T) {
	tel, set := observed(t)
	r := startWith(t, defaultConfig(DecodeVerified), set, nopHost())
	b := r.receiver.buffers.Get(4000)
	metadatatest.AssertEqualReceiverPooledotlpBufferSize(t, tel, []metricdata.DataPoint[int64]{
		point(0, "state", "idle"), point(4096, "state", "in_use"),
	}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	r.receiver.buffers.Put(b)
	r.receiver.buffers.Put(r.receiver.buffers.Get(4000))
	metadatatest.AssertEqualReceiverPooledotlpBufferRequests(t, tel, []metricdata.DataPoint[int64]{
		point(1, "result", "hit"), point(1, "result", "miss"),
	}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
}
