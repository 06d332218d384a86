package delivery

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/silence"
)

var errTooManyAlerts = errors.New("too many alerts")

// storeHooks bounds the store of alerts and lets others see every alert, whoever sent it. The store calls PreStore and PostStore under its
// lock, and PostDelete for what ended some time ago.
type storeHooks struct {
	*silence.Silencer
	admit, observe  func(*alert.Alert)
	stored, refused atomic.Int64
}

// PreStore implements mem.AlertStoreCallback.
func (h *storeHooks) PreStore(a *alert.Alert, existing bool) error {
	if !existing && h.stored.Load() >= maxAlerts {
		h.refused.Add(1)
		return errTooManyAlerts
	}
	if h.admit != nil {
		h.admit(a)
	}
	return nil
}

// PostStore implements mem.AlertStoreCallback.
func (h *storeHooks) PostStore(a *alert.Alert, existing bool) {
	if !existing {
		h.stored.Add(1)
	}
	if h.observe != nil {
		h.observe(a)
	}
}

// PostDelete implements mem.AlertStoreCallback.
func (h *storeHooks) PostDelete(a *alert.Alert) {
	h.stored.Add(-1)
	h.Silencer.PostDelete(a)
}

// Stats are figures of a delivery; Refused and WriteFailures count since the start.
type Stats struct {
	// Alerts are those in the store, Refused those beyond its bound.
	Alerts, Refused int64
	// WriteFailures are those of the snapshot of active alerts.
	WriteFailures int64
}

// Stats returns the figures of now.
func (d *Delivery) Stats() Stats {
	return Stats{Alerts: d.hooks.stored.Load(), Refused: d.hooks.refused.Load(), WriteFailures: d.snapshotFailures.Load()}
}
