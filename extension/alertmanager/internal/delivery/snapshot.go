package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/prometheus/alertmanager/alert"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/atomicfile"
)

// keepSnapshot writes the active alerts to disk now and then. Alertmanager itself relies on its senders to repeat them, which
// here would lose the recovery of an alert during a restart.
func (d *Delivery) keepSnapshot() {
	ticker := time.NewTicker(maintenanceInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-d.stop:
			return
		case <-ticker.C:
		}
		err := d.saveSnapshot()
		if err != nil {
			d.snapshotFailures.Add(1)
		}
		if failed := err != nil; failed != failing {
			failing = failed
			if failed {
				d.cfg.Logger.Error("active alerts cannot be written to disk: a restart may forget recoveries", "err", err)
			} else {
				d.cfg.Logger.Info("active alerts are written to disk again")
			}
			if d.cfg.Trouble != nil {
				d.cfg.Trouble(err)
			}
		}
	}
}

func (d *Delivery) saveSnapshot() error {
	active := []*alert.Alert{}
	for _, a := range d.alerts.pending() {
		if !a.Resolved() {
			active = append(active, a)
		}
	}
	content, err := json.Marshal(active)
	if err != nil {
		return fmt.Errorf("encode active alerts: %w", err)
	}
	return atomicfile.Replace(d.path("alerts.json"), content)
}

// restore brings back the alerts that were active when the process ended. Those that nobody reports again within the grace
// time are over, and are told as resolved.
func (d *Delivery) restore() {
	content, err := os.ReadFile(d.path("alerts.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var active []*alert.Alert
	if err == nil {
		err = json.Unmarshal(content, &active)
	}
	if err == nil {
		now := time.Now()
		for _, a := range active {
			graceEnd := now.Add(d.cfg.Grace(a.Name()))
			// Our rules are evaluated anew by then. Who else sends may repeat an alert more rarely, up to the end that was given for it.
			if a.EndsAt.Before(graceEnd) || a.GeneratorURL == d.cfg.ExternalURL.String() {
				a.EndsAt = graceEnd
			}
			a.Timeout = true
		}
		// A member of a cluster that joined again may have newer ones already.
		_, err = d.alerts.adopt(active)
	}
	if err != nil {
		d.cfg.Logger.Warn("alerts that were active before the restart are forgotten", "err", err)
	}
}
