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
	return &telemetry{TelemetryBuilder: builder, id: attribute.String("extension", e.set.ID.String())}, nil
}

// report registers the figures that are looked at when metrics are collected. Everything has been started before.
func (e *Extension) report(context.Context) error {
	e.onShutdown(func(context.Context) error { e.telemetry.Shutdown(); return nil })
	return errors.Join(e.telemetry.reportOwn(e), e.telemetry.reportUpstream(&upstream{gatherer: e.registry}))
}

func (t *telemetry) reportOwn(e *Extension) error {
	own := metric.WithAttributes(t.id)
	observe := func(figure func() int64) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(figure(), own)
			return nil
		}
	}
	return errors.Join(
		t.RegisterAlertmanagerSeriesCallback(observe(func() int64 { return e.storage.Stats().Series })),
		t.RegisterAlertmanagerSeriesUnloggedCallback(observe(func() int64 { return e.storage.Stats().Unlogged })),
		t.RegisterAlertmanagerSeriesLimitCallback(observe(func() int64 { return int64(e.cfg.Storage.MaxSeries) })),
		t.RegisterAlertmanagerSamplesRefusedCallback(observe(func() int64 { return e.storage.Stats().Refused })),
		t.RegisterAlertmanagerRequestsUnconvertedCallback(observe(func() int64 { return e.storage.Stats().Unconverted })),
		t.RegisterAlertmanagerSamplesLateCallback(observe(func() int64 { return e.storage.Stats().Late })),
		t.RegisterAlertmanagerAlertsCallback(observe(func() int64 { return e.delivery.Stats().Alerts })),
		t.RegisterAlertmanagerAlertsRefusedCallback(observe(func() int64 { return e.delivery.Stats().Refused })),
		t.RegisterAlertmanagerIncidentsCallback(observe(func() int64 { return int64(e.tracker.Stats().Active) })),
		t.RegisterAlertmanagerIncidentsUntrackedCallback(observe(func() int64 { return e.tracker.Stats().Untracked })),
		t.RegisterAlertmanagerPendingCallback(observe(func() int64 { return int64(e.tracker.Stats().Pending) })),
		t.RegisterAlertmanagerSuppressedCallback(observe(func() int64 { return int64(e.tracker.Stats().Suppressed) })),
		t.RegisterAlertmanagerHistoryIncidentsCallback(observe(func() int64 { return int64(e.tracker.Stats().History) })),
		t.RegisterAlertmanagerHistoryLimitCallback(observe(func() int64 { return int64(e.cfg.Storage.MaxHistory) })),
		t.RegisterAlertmanagerStateWriteFailuresCallback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(e.tracker.Stats().WriteFailures, metric.WithAttributes(t.id, ofFile("incidents")))
			o.Observe(e.delivery.Stats().WriteFailures, metric.WithAttributes(t.id, ofFile("alerts")))
			return nil
		}),
		t.RegisterAlertmanagerEventSubscribersCallback(observe(func() int64 { return int64(e.bus.Stats().Subscribers) })),
		t.RegisterAlertmanagerEventSubscribersRefusedCallback(observe(func() int64 { return e.bus.Stats().Refused })),
		t.RegisterAlertmanagerEventBacklogCallback(observe(func() int64 { return int64(e.bus.Stats().Backlog) })),
		t.RegisterAlertmanagerEventsLostCallback(observe(func() int64 { return e.bus.Stats().Lost })),
		t.RegisterAlertmanagerQueriesCallback(observe(func() int64 { return int64(e.web.Stats().Queries) })),
		t.RegisterAlertmanagerQueryCacheCallback(observe(func() int64 { return int64(e.web.Stats().Cached) })),
	)
}

// reportUpstream takes over what people alert on. Without a cluster or an Alertmanager elsewhere there are no figures of them.
func (t *telemetry) reportUpstream(u *upstream) error {
	whole := func(sources ...source) metric.Int64Callback {
		return func(_ context.Context, o metric.Int64Observer) error {
			for _, r := range u.read(t.id, sources...) {
				o.Observe(int64(r.value), metric.WithAttributeSet(r.attributes))
			}
			return nil
		}
	}
	broken := func(sources ...source) metric.Float64Callback {
		return func(_ context.Context, o metric.Float64Observer) error {
			for _, r := range u.read(t.id, sources...) {
				o.Observe(r.value, metric.WithAttributeSet(r.attributes))
			}
			return nil
		}
	}
	elsewhere, group := []string{"alertmanager"}, []string{"rule_group"}
	return errors.Join(
		t.RegisterAlertmanagerNotificationsUndeliveredCallback(whole(
			source{name: "alertmanager_notifications_failed_total", labels: []string{"integration"}})),
		t.RegisterAlertmanagerNotificationLogSizeCallback(whole(source{name: "alertmanager_nflog_snapshot_size_bytes"})),
		t.RegisterAlertmanagerStateWriteFailuresCallback(whole(
			source{name: "alertmanager_nflog_maintenance_errors_total", as: ofFile("notification_log")},
			source{name: "alertmanager_silences_maintenance_errors_total", as: ofFile("silences")})),
		t.RegisterAlertmanagerAggregationGroupsCallback(whole(source{name: "alertmanager_dispatcher_aggregation_groups"})),
		t.RegisterAlertmanagerSilencesCallback(whole(source{name: "alertmanager_silences", labels: []string{"state"}})),

		t.RegisterAlertmanagerClusterMembersCallback(whole(source{name: "alertmanager_cluster_members"})),
		t.RegisterAlertmanagerClusterFailedPeersCallback(whole(source{name: "alertmanager_cluster_failed_peers"})),
		t.RegisterAlertmanagerClusterHealthScoreCallback(whole(source{name: "alertmanager_cluster_health_score"})),
		t.RegisterAlertmanagerClusterMessagesQueuedCallback(whole(source{name: "alertmanager_cluster_messages_queued"})),

		t.RegisterAlertmanagerExternalQueueCallback(whole(source{name: "prometheus_notifications_queue_length", labels: elsewhere})),
		t.RegisterAlertmanagerExternalQueueLimitCallback(whole(source{name: "prometheus_notifications_queue_capacity"})),
		t.RegisterAlertmanagerExternalSentCallback(whole(source{name: "prometheus_notifications_sent_total", labels: elsewhere})),
		t.RegisterAlertmanagerExternalErrorsCallback(whole(source{name: "prometheus_notifications_errors_total", labels: elsewhere})),
		t.RegisterAlertmanagerExternalDroppedCallback(whole(source{name: "prometheus_notifications_dropped_total", labels: elsewhere})),

		t.RegisterAlertmanagerRuleEvaluationFailuresCallback(whole(source{name: "prometheus_rule_evaluation_failures_total", labels: group})),
		t.RegisterAlertmanagerRuleGroupMissedCallback(whole(source{name: "prometheus_rule_group_iterations_missed_total", labels: group})),
		t.RegisterAlertmanagerRuleGroupDurationCallback(broken(source{name: "prometheus_rule_group_last_duration_seconds", labels: group})),
		t.RegisterAlertmanagerRuleGroupIntervalCallback(broken(source{name: "prometheus_rule_group_interval_seconds", labels: group})),

		t.RegisterAlertmanagerSeriesInMemoryCallback(whole(source{name: "prometheus_tsdb_head_series"})),
		t.RegisterAlertmanagerStorageSizeCallback(whole(
			source{name: "prometheus_tsdb_storage_blocks_bytes"}, source{name: "prometheus_tsdb_wal_storage_size_bytes"},
			source{name: "prometheus_tsdb_head_chunks_storage_size_bytes"})),
		t.RegisterAlertmanagerStorageFailuresCallback(whole(
			source{name: "prometheus_tsdb_wal_writes_failed_total", as: ofOperation("wal_write")},
			source{name: "prometheus_tsdb_checkpoint_creations_failed_total", as: ofOperation("checkpoint")},
			source{name: "prometheus_tsdb_compactions_failed_total", as: ofOperation("compaction")},
			source{name: "prometheus_tsdb_head_truncations_failed_total", as: ofOperation("truncation")},
			source{name: "prometheus_tsdb_reloads_failures_total", as: ofOperation("reload")})),
	)
}

func ofOperation(name string) attribute.KeyValue { return attribute.String("operation", name) }

func ofFile(name string) attribute.KeyValue { return attribute.String("file", name) }

// notified counts an attempt to notify.
func (t *telemetry) notified(n delivery.Notification) {
	outcome := "delivered"
	if n.Err != nil {
		outcome = "failed"
	}
	attributes := metric.WithAttributeSet(attribute.NewSet(
		t.id, attribute.String("integration", n.Integration), attribute.String("outcome", outcome)))
	t.AlertmanagerNotifications.Add(context.Background(), 1, attributes)
	t.AlertmanagerNotificationDuration.Record(context.Background(), n.Took.Seconds(), attributes)
}
