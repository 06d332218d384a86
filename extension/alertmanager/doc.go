// Package alertmanager is an extension that evaluates alerting rules over the metrics that the exporter "alertrules" hands to
// it, notifies people through an embedded Alertmanager, and shows what fires on a page.
//
// The engine is Prometheus's, the delivery is Alertmanager's; the packages under internal/ are, in the order in which an alert goes
// through them: storage, rules, delivery (external besides), incidents, events, web.
package alertmanager

//go:generate mdatagen metadata.yaml
