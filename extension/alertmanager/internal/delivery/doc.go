// Package delivery embeds Prometheus's Alertmanager: routes, grouping, inhibition, silences, notifiers and the v2 API, from
// the standard Alertmanager configuration. It alone imports Alertmanager's packages that do work.
//
// Files: config.go reads the configuration, delivery.go builds and stops the parts that live as long as the process,
// pipeline.go those that a configuration describes, alerts.go is what other packages ask for, guard.go keeps notifications
// away from addresses that are no target, snapshot.go brings active alerts over a restart.
package delivery
