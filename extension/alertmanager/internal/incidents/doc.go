// Package incidents follows alerts from firing to recovery: who acknowledged them, whether they escalated, how long they
// took, and what there was before.
//
// An incident is an alert and the steps of its escalation, which differ from it in severity only. Lock order: the store of alerts
// calls Observe and Admit under its own lock, so nothing here calls delivery while it holds mu.
package incidents
