package incidents

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/atomicfile"
)

// state is what a restart must not forget.
type state struct {
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
	for key, f := range s.Active {
		if f != nil && len(f.Alerts) > 0 {
			t.active[key] = f
		}
	}
	for key, suppressed := range s.Suppressed {
		suppressed.Seen = time.Now() // nobody could report it meanwhile
		t.suppressed[key] = suppressed
	}
	return nil
}

// saveIfDirty writes the state. A disk that is full or read-only costs a restart its memory and nothing else; it is logged when it
// begins and when it ends.
func (t *Tracker) saveIfDirty() {
	t.mu.Lock()
	if !t.dirty {
		t.mu.Unlock()
		return
	}
	content, err := json.Marshal(state{Active: t.active, Suppressed: t.suppressed})
	t.dirty = false
	t.mu.Unlock()
	if err == nil {
		err = atomicfile.Replace(t.statePath(), content)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.dirty = true
	}
	if failed := err != nil; failed != t.saveFailed {
		t.saveFailed = failed
		if failed {
			t.cfg.Logger.Error("the state of alerts cannot be written to disk: a restart will forget acknowledgements", "err", err)
		} else {
			t.cfg.Logger.Info("the state of alerts is written to disk again")
		}
	}
}

// Close writes the state and closes the history. Run has returned before.
func (t *Tracker) Close() error {
	t.saveIfDirty()
	return t.history.close()
}

// Stats are figures of a tracker; Untracked counts alerts beyond the bound, since the start.
type Stats struct {
	Active, MaxActive, History, MaxHistory int
	Untracked                              int64
	// StateFailed says that the state cannot be written to disk.
	StateFailed bool
}

// Stats returns the figures of now.
func (t *Tracker) Stats() Stats {
	t.history.mu.Lock()
	kept := len(t.history.incidents)
	t.history.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{
		Active: len(t.active), MaxActive: maxActive, History: kept, MaxHistory: t.cfg.MaxHistory,
		Untracked: t.untracked, StateFailed: t.saveFailed,
	}
}
