package incidents

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/atomicfile"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/rules"
)

// stateVersion is of the file's form. In version 1, which had no number, alerts that differ in nothing but severity were one incident.
const stateVersion = 2

// state is what a restart must not forget.
type state struct {
	Version    int                               `json:"version"`
	Active     map[model.Fingerprint]*followed   `json:"active"`
	Suppressed map[model.Fingerprint]suppression `json:"suppressed"`
}

func (t *Tracker) statePath() string { return filepath.Join(t.cfg.Directory, "incidents.json") }

func (t *Tracker) load() error {
	content, err := os.ReadFile(t.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return err
	}
	if s.Version > stateVersion {
		return fmt.Errorf("%s has version %d, this program knows %d", filepath.Base(t.statePath()), s.Version, stateVersion)
	}
	for _, f := range s.Active {
		if f == nil {
			continue
		}
		key := f.base().Fingerprint()
		if s.Version < 2 {
			maps.DeleteFunc(f.Alerts, func(_ model.Fingerprint, m member) bool {
				return m.Labels[rules.EscalationLabel] == "" && base(m.Labels).Fingerprint() != key
			})
		}
		if len(f.Alerts) > 0 {
			t.active[key] = f
		}
	}
	for key, suppressed := range s.Suppressed {
		suppressed.Seen = time.Now() // nobody could report it meanwhile
		suppressed.AnySeverity = suppressed.AnySeverity || s.Version < 2
		t.anySeverity = t.anySeverity || suppressed.AnySeverity
		t.suppressed[key] = suppressed
	}
	return nil
}

// withoutSeverity is the key that an alert had in files of version 1.
func withoutSeverity(labels model.LabelSet) model.Fingerprint {
	rest := maps.Clone(labels)
	for _, name := range []model.LabelName{SeverityLabel, rules.EscalationLabel, rules.EscalationFromLabel} {
		delete(rest, name)
	}
	return rest.Fingerprint()
}

// save writes what has changed. A disk that is full or read-only costs a restart its memory and nothing else; it is logged when it
// begins and when it ends.
func (t *Tracker) save() {
	// First, as an incident that is in both has ended all the same.
	err := t.history.save()
	t.mu.Lock()
	t.written(&t.historyFailed, err, "the history of alerts", "what has been resolved")
	if !t.dirty {
		t.mu.Unlock()
		return
	}
	content, err := json.Marshal(state{Version: stateVersion, Active: t.active, Suppressed: t.suppressed})
	t.dirty = false
	t.mu.Unlock()
	if err == nil {
		err = atomicfile.Replace(t.statePath(), content)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirty = t.dirty || err != nil
	t.written(&t.stateFailed, err, "the state of alerts", "acknowledgements")
}

// written counts an attempt to write that failed, and logs when that begins and ends. The caller holds mu.
func (t *Tracker) written(failed *bool, err error, what, memory string) {
	if err != nil {
		t.writeFailures++
	}
	switch {
	case err != nil && !*failed:
		t.cfg.Logger.Error(what+" cannot be written to disk: a restart will forget "+memory, "err", err)
	case err == nil && *failed:
		t.cfg.Logger.Info(what + " is written to disk again")
	}
	*failed = err != nil
}

// Close writes the state and closes the history. Run has returned before.
func (t *Tracker) Close() error {
	t.save()
	return t.history.close()
}

// Stats are figures of a tracker; Untracked and WriteFailures count since the start.
type Stats struct {
	Active, Pending, Suppressed, History int
	// Untracked are alerts beyond the bound of active ones.
	Untracked int64
	// WriteFailures are those of the state and of the history.
	WriteFailures int64
}

// Stats returns the figures of now.
func (t *Tracker) Stats() Stats {
	kept := t.history.size()
	t.mu.Lock()
	defer t.mu.Unlock()
	suppressed := 0
	for _, s := range t.suppressed {
		if s.Cleared.IsZero() {
			suppressed++
		}
	}
	return Stats{
		Active: len(t.active), Pending: len(t.pending), Suppressed: suppressed, History: kept,
		Untracked: t.untracked, WriteFailures: t.writeFailures,
	}
}
