package alertmanager

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/metadata"
)

// telemetry is the extension's own metrics.
type telemetry struct {
	*metadata.TelemetryBuilder
	id attribute.KeyValue
}

func newTelemetry(e *Extension) (*telemetry, error) {
	builder, err := metadata.NewTelemetryBuilder(e.set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	t := &telemetry{TelemetryBuilder: builder, id: attribute.String("extension", e.set.ID.String())}
	own := metric.WithAttributes(t.id)
	observe := func(figure func() int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(figure(), own)
			return nil
		}
	}
	return t, errors.Join(
		t.RegisterAlertmanagerSeriesCallback(observe(func() int64 { return e.storage.Stats().Series })),
		t.RegisterAlertmanagerSeriesLimitCallback(observe(func() int64 { return int64(e.cfg.Storage.MaxSeries) })),
		t.RegisterAlertmanagerSamplesRefusedCallback(observe(func() int64 { return e.storage.Stats().Refused })),
		t.RegisterAlertmanagerRequestsUnconvertedCallback(observe(func() int64 { return e.storage.Stats().Unconverted })),
		t.RegisterAlertmanagerSamplesLateCallback(observe(func() int64 { return e.storage.Stats().Late })),
		t.RegisterAlertmanagerIncidentsCallback(observe(func() int64 { return int64(e.tracker.Stats().Active) })),
		t.RegisterAlertmanagerIncidentsUntrackedCallback(observe(func() int64 { return e.tracker.Stats().Untracked })),
		t.RegisterAlertmanagerHistoryIncidentsCallback(observe(func() int64 { return int64(e.tracker.Stats().History) })),
		t.RegisterAlertmanagerHistoryLimitCallback(observe(func() int64 { return int64(e.cfg.Storage.MaxHistory) })),
		t.RegisterAlertmanagerEventSubscribersCallback(observe(func() int64 { return int64(e.bus.Stats().Subscribers) })),
		t.RegisterAlertmanagerEventsLostCallback(observe(func() int64 { return e.bus.Stats().Lost })),
	)
}

// notified counts an attempt to notify.
func (t *telemetry) notified(n delivery.Notification) {
	outcome := "delivered"
	if n.Err != nil {
		outcome = "failed"
	}
	t.AlertmanagerNotifications.Add(context.Background(), 1, metric.WithAttributes(
		t.id, attribute.String("integration", n.Integration), attribute.String("outcome", outcome)))
}
