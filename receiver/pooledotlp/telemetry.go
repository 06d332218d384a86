package pooledotlp

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unarygrpc"
)

// attributes are those of a measurement, which name the receiver: a Collector may have several.
func (r *otlpReceiver) attributes(a ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(append(a, attribute.String("receiver", r.settings.ID.String()))...))
}

// observe registers the callbacks of the metrics that are read, not counted.
func (r *otlpReceiver) observe() error {
	return errors.Join(
		r.telemetry.RegisterReceiverPooledotlpBytePathCallback(func(_ context.Context, o metric.Int64Observer) error {
			for signal, encoded := range r.signals() {
				path := int64(0)
				if encoded {
					path = 1
				}
				o.Observe(path, r.attributes(attribute.String("data_type", signal)))
			}
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpBufferRequestsCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := r.buffers.Stats()
			o.Observe(int64(s.Hits), r.attributes(attribute.String("result", "hit")))
			o.Observe(int64(s.Misses), r.attributes(attribute.String("result", "miss")))
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpBufferSizeCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(r.buffers.Stats().IdleBytes, r.attributes(attribute.String("state", "idle")))
			o.Observe(r.held.Load(), r.attributes(attribute.String("state", "in_use")))
			o.Observe(r.reading.Held(), r.attributes(attribute.String("state", "reading")))
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpOverflowRequestsCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(r.reading.Refused()), r.attributes())
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpUnreadableRequestsCallback(func(_ context.Context, o metric.Int64Observer) error {
			if r.cfg.Protocols.HTTP.HasValue() {
				o.Observe(r.unreadable.Load(), r.attributes(attribute.String("transport", "http")))
			}
			return nil
		}),
	)
}

// observeServer registers the callbacks that read the receiver's own gRPC server.
func (r *otlpReceiver) observeServer(server *unarygrpc.Server) error {
	return errors.Join(
		r.telemetry.RegisterReceiverPooledotlpGrpcCallsCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(server.Stats().Calls), r.attributes())
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpGrpcConnectionsCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(server.Stats().Connections), r.attributes())
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpUnreadableRequestsCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(server.Stats().Unreadable), r.attributes(attribute.String("transport", "grpc")))
			return nil
		}),
	)
}
