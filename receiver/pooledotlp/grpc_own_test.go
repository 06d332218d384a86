package pooledotlp

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configmiddleware"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unarygrpc"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadatatest"
)

func TestGRPCGoServesWhatOnlyItCan(t *testing.T) {
	recording := func(t *testing.T) receiver.Settings {
		tel := componenttest.NewTelemetry()
		t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
		set := nopSettings()
		set.TelemetrySettings = tel.NewTelemetrySettings()
		return set
	}
	for name, c := range map[string]struct {
		decode DecodeMode
		change func(*Config, *receiver.Settings)
		reason string // "": the receiver's own server
	}{
		"default":    {decode: DecodeVerified},
		"one signal": {decode: "verified:logs"},
		"decoded":    {decode: DecodeAlways, reason: "requests are decoded"},
		"asked for":  {decode: verifiedOnOthers, reason: "`grpc_server` is grpc-go"},
		"metrics to see": {decode: DecodeVerified, reason: "telemetry", change: func(_ *Config, set *receiver.Settings) {
			set.MeterProvider = recording(t).MeterProvider
		}},
		"spans to see": {decode: DecodeVerified, reason: "telemetry", change: func(_ *Config, set *receiver.Settings) {
			set.TracerProvider = recording(t).TracerProvider
		}},
		"metrics nobody sees": {decode: DecodeVerified, change: func(_ *Config, set *receiver.Settings) {
			_, observed := observed(t)
			set.MeterProvider = observed.MeterProvider
		}},
		"middlewares": {decode: DecodeVerified, reason: "`middlewares`", change: func(cfg *Config, _ *receiver.Settings) {
			cfg.Protocols.GRPC.Get().Middlewares = make([]configmiddleware.Config, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, set := defaultConfig(c.decode), nopSettings()
			if c.change != nil {
				c.change(cfg, &set)
			}
			core, logged := observer.New(zap.InfoLevel)
			set.Logger = zap.New(core)
			r := create(t, cfg, set, &sink{})
			why := r.receiver.whyNotOwn(t.Context())
			assert.Contains(t, why, c.reason)
			assert.Equal(t, c.reason == "", why == "", why)
			if name == "middlewares" {
				require.NoError(t, r.Shutdown(t.Context())) // there is no such extension to start with
				return
			}
			require.NoError(t, r.Start(t.Context(), nopHost()))
			_, own := r.receiver.grpcServer.(*unarygrpc.Server)
			assert.Equal(t, c.reason == "", own)
			said := logged.FilterMessage("gRPC is served by grpc-go").All()
			require.Len(t, said, map[bool]int{true: 0, false: 1}[own])
			if !own {
				assert.Contains(t, said[0].ContextMap()["reason"], c.reason)
			}
			require.NoError(t, r.Shutdown(t.Context()))
		})
	}
}

func TestCallsAndConnectionsAreObserved(t *testing.T) {
	tel, set := observed(t)
	r := startWith(t, defaultConfig(DecodeVerified), set, nopHost())
	require.NoError(t, samples(t)[0].export(within(t), dial(t, r.grpc)))
	metadatatest.AssertEqualReceiverPooledotlpGrpcConnections(t, tel, []metricdata.DataPoint[int64]{point(1)},
		metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualReceiverPooledotlpGrpcCalls(t, tel, []metricdata.DataPoint[int64]{point(0)},
		metricdatatest.IgnoreTimestamp())
}
