package pooledotlp

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe registers the callbacks of the metrics that are read, not counted.
func (r *otlpReceiver) observe() error {
	path := int64(0)
	if r.cfg.encoded() {
		path = 1
	}
	return errors.Join(
		r.telemetry.RegisterReceiverPooledotlpBytePathCallback(func(_ context.Context, o metric.Int64Observer) error {
			for _, s := range r.encodedSignals() {
				o.Observe(path, metric.WithAttributes(attribute.String("data_type", s.String())))
			}
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpBufferRequestsCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := r.buffers.Stats()
			o.Observe(int64(s.Hits), metric.WithAttributes(attribute.String("result", "hit")))
			o.Observe(int64(s.Misses), metric.WithAttributes(attribute.String("result", "miss")))
			return nil
		}),
		r.telemetry.RegisterReceiverPooledotlpBufferSizeCallback(func(_ context.Context, o metric.Int64Observer) error {
			s := r.buffers.Stats()
			o.Observe(s.IdleBytes, metric.WithAttributes(attribute.String("state", "idle")))
			o.Observe(s.InUseBytes, metric.WithAttributes(attribute.String("state", "in_use")))
			return nil
		}),
	)
}
