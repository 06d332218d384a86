package pooledotlp

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadatatest"
)

// observed is nopSettings with telemetry that can be read. As in a Collector that is not told otherwise, nothing records calls.
func observed(t *testing.T) (*componenttest.Telemetry, receiver.Settings) {
	var dropped []sdkmetric.View
	for _, scope := range []string{otelgrpcScope, otelhttpScope} {
		dropped = append(dropped, sdkmetric.NewView(
			sdkmetric.Instrument{Scope: instrumentation.Scope{Name: scope}}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}}))
	}
	tel := componenttest.NewTelemetry(componenttest.WithMetricOptions(sdkmetric.WithView(dropped...)))
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := nopSettings()
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.TracerProvider = nopSettings().TracerProvider
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
	counters := map[string]string{"traces": "spans", "metrics": "metric_points", "logs": "log_records", "profiles": "profile_samples"}
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, transport := range []string{"grpc", "http"} {
			for _, s := range samples(t) {
				t.Run(transport+" "+s.signal, func(t *testing.T) {
					tel, set := observed(t)
					r := startWith(t, defaultConfig(decode), set, nopHost())
					cc := dial(t, r.grpc)
					send := func() {
						if transport == "grpc" {
							_ = s.export(within(t), cc)
						} else {
							post(t, r.http, s.path, typeProto, "", s.proto)
							post(t, r.http, s.path, typeJSON, "", s.json)
						}
					}
					send()
					r.sink.refuseWith(errors.New("no"))
					send()
					r.sink.refuseWith(consumererror.NewPermanent(errors.New("no")))
					send()

					times := int64(1)
					if transport == "http" {
						times = 2
					}
					for name, want := range map[string]int64{"accepted": 1, "refused": 2, "failed": 0} {
						m, err := tel.GetMetric("otelcol_receiver_" + name + "_" + counters[s.signal])
						require.NoError(t, err)
						points := m.Data.(metricdata.Sum[int64]).DataPoints
						require.Len(t, points, 1)
						assert.Equal(t, want*times*s.items, points[0].Value, name)
						got, _ := points[0].Attributes.Value("transport")
						assert.Equal(t, transport, got.AsString())
						got, _ = points[0].Attributes.Value("receiver")
						assert.Equal(t, "pooledotlp", got.AsString())
					}
				})
			}
		}
	})
}

func TestMalformedRequestsAreCountedBySignal(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		tel, set := observed(t)
		r := startWith(t, defaultConfig(decode), set, nopHost())
		_, err := sendRaw(t, dial(t, r.grpc), logsNames, []byte{0x0a})
		require.Error(t, err)
		_, err = sendRaw(t, dial(t, r.grpc), profilesNames, []byte{0x0a})
		require.Error(t, err)
		post(t, r.http, "/v1/traces", typeProto, "", []byte{0x0a})
		metadatatest.AssertEqualReceiverPooledotlpMalformedRequests(t, tel, []metricdata.DataPoint[int64]{
			point(1, "data_type", "logs"), point(1, "data_type", "profiles"), point(1, "data_type", "traces"),
		}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	})
}

func TestRequestsThatCannotBeReadAreCounted(t *testing.T) {
	const most = 1 << 20
	packed := compress(t, "gzip", make([]byte, 2*most))
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		tel, set := observed(t)
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().MaxRecvMsgSizeMiB = most >> 20
		cfg.Protocols.HTTP.Get().ServerConfig.MaxRequestBodySize = most
		r := startWith(t, cfg, set, nopHost())

		var want []metricdata.DataPoint[int64]
		if decode == DecodeVerified {
			_, err := sendRaw(t, dial(t, r.grpc), tracesNames, make([]byte, 2*most))
			require.Error(t, err)
			_, err = sendRaw(t, dial(t, r.grpc), tracesNames, make([]byte, 2*most), grpc.UseCompressor("gzip"))
			require.Error(t, err)
			want = append(want, point(2, "transport", "grpc"))
		}
		bodies := []struct {
			encoding string
			body     []byte
		}{
			{"", make([]byte, 2*most)}, {"gzip", packed}, {"gzip", packed[:len(packed)-4]}, {"gzip", []byte("none")}, {"zstd", []byte("none")},
			{"br", []byte("none")}, {"deflate", []byte("none")}, {"unknown", []byte("none")},
		}
		for _, b := range bodies {
			answer, _ := post(t, r.http, "/v1/traces", typeProto, b.encoding, b.body)
			require.Equal(t, http.StatusBadRequest, answer.StatusCode, b.encoding)
		}
		want = append(want, point(int64(len(bodies)), "transport", "http"))
		metadatatest.AssertEqualReceiverPooledotlpUnreadableRequests(t, tel, want, metricdatatest.IgnoreTimestamp())
	})
}

func TestThePathOfEverySignalIsPublished(t *testing.T) {
	for decode, want := range map[DecodeMode][3]int64{
		DecodeAlways: {}, DecodeAuto: {}, DecodeVerified: {1, 1, 1}, "verified:metrics": {0, 1, 0}, "verified:traces,logs": {1, 0, 1},
	} {
		t.Run(string(decode), func(t *testing.T) {
			tel, set := observed(t)
			core, logged := observer.New(zap.InfoLevel)
			set.Logger = zap.New(core)
			r := startWith(t, defaultConfig(decode), set, nopHost())
			metadatatest.AssertEqualReceiverPooledotlpBytePath(t, tel, []metricdata.DataPoint[int64]{
				point(want[0], "data_type", "traces"), point(want[1], "data_type", "metrics"), point(want[2], "data_type", "logs"),
				point(0, "data_type", "profiles"),
			}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())

			said := map[any]any{}
			for _, entry := range logged.FilterMessage("OTLP receiver started").All() {
				said[entry.ContextMap()["data_type"]] = entry.ContextMap()["requests_stay_encoded"]
			}
			assert.Equal(t, map[any]any{"traces": want[0] == 1, "metrics": want[1] == 1, "logs": want[2] == 1, "profiles": false}, said)

			for i, s := range samples(t)[:3] {
				before := r.sink.encodedCalls()
				require.NoError(t, s.export(within(t), dial(t, r.grpc)))
				assert.EqualValues(t, want[i], r.sink.encodedCalls()-before, s.signal)
				r.requireReceived(t, s)
			}
		})
	}
}

func TestARequestIsHeldUntilItIsAnswered(t *testing.T) {
	eachStuck(t, func(t *testing.T, r *sharedReceiver, s *stuck, answer <-chan error) {
		assert.EqualValues(t, len(samples(t)[0].proto), r.receiver.held.Load())
		close(s.release)
		require.NoError(t, <-answer)
		require.NoError(t, r.Shutdown(within(t)))
		assert.Zero(t, r.receiver.held.Load())
	})
}

func TestBuffersAreObserved(t *testing.T) {
	tel, set := observed(t)
	r := startWith(t, defaultConfig(DecodeVerified), set, nopHost())
	r.receiver.held.Store(7)
	defer r.receiver.held.Store(0)
	reading, refused := r.receiver.reading.Reserve(), r.receiver.reading.Reserve()
	defer reading.End()
	require.True(t, reading.Grow(5))
	require.False(t, refused.Grow(1<<30))
	r.receiver.buffers.Put(r.receiver.buffers.Get(4000))
	r.receiver.buffers.Put(r.receiver.buffers.Get(4000))
	metadatatest.AssertEqualReceiverPooledotlpBufferSize(t, tel, []metricdata.DataPoint[int64]{
		point(4096, "state", "idle"), point(7, "state", "in_use"), point(5, "state", "reading"),
	}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualReceiverPooledotlpOverflowRequests(t, tel, []metricdata.DataPoint[int64]{point(1)},
		metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	metadatatest.AssertEqualReceiverPooledotlpBufferRequests(t, tel, []metricdata.DataPoint[int64]{
		point(1, "result", "hit"), point(1, "result", "miss"),
	}, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
}
