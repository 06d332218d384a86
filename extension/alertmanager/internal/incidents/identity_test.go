package incidents

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRulesOfOneNameAndDifferentSeveritiesAreDifferentIncidents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, t.TempDir())
		defer w.stop()
		critical := model.LabelSet{"severity": "critical"}
		w.fire(t, nil)
		w.fire(t, critical)
		w.fire(t, model.LabelSet{"severity": "info", "escalation_from": "info"})
		w.fire(t, model.LabelSet{"severity": "critical", "escalation": "1", "escalation_from": "info"})
		require.Len(t, w.Active(), 3, "the step belongs to the rule that escalates")
		for _, i := range w.Active() {
			switch {
			case i.Labels["escalation_from"] != "":
				assert.False(t, i.EscalatedAt.IsZero())
				require.NoError(t, w.Acknowledge(t.Context(), i.ID, "ann", "", time.Time{}))
				assert.Equal(t, model.LabelSet{"alertname": "Slow", "escalation_from": "info"}, w.store.labels, "the rule and its steps")
			case i.Severity == "critical":
				require.NoError(t, w.Resolve(t.Context(), i.ID, "bob", ""))
			default:
				assert.Equal(t, "warning", i.Severity)
				require.NoError(t, w.Acknowledge(t.Context(), i.ID, "ann", "", time.Time{}))
				assert.Equal(t, "warning", string(w.store.labels["severity"]), "and not the critical one")
			}
		}
		pass(sweepInterval)
		require.Len(t, w.Active(), 2)
		w.fire(t, critical)
		w.fire(t, nil)
		assert.Len(t, w.Active(), 2, "only the one that was resolved by hand stays quiet")
		assert.Len(t, w.History(Query{}), 1)
	})
}

// As version 1 wrote it: an incident of two severities, one that has escalated, and one that was resolved by hand.
const version1 = `{"active": {
 "10": {"incident": {"id": "a-1", "name": "Slow", "severity": "warning", "labels": {"alertname": "Slow", "severity": "warning"},
   "started_at": "1999-12-31T23:00:00Z", "acknowledgement": {"who": "ann", "at": "1999-12-31T23:10:00Z", "silence": "s"}},
  "alerts": {"1": {"labels": {"alertname": "Slow", "severity": "warning"}, "ends_at": "2000-01-01T00:04:00Z"},
             "2": {"labels": {"alertname": "Slow", "severity": "critical"}, "ends_at": "2000-01-01T00:04:00Z"}}},
 "11": {"incident": {"id": "b-1", "name": "Full", "severity": "critical", "labels": {"alertname": "Full", "severity": "warning"},
   "started_at": "1999-12-31T23:00:00Z"},
  "alerts": {"3": {"labels": {"alertname": "Full", "severity": "critical", "escalation": "1"}, "ends_at": "2000-01-01T00:04:00Z"}}},
 "12": null},
 "suppressed": {"KEY": {"at": "1999-12-31T23:30:00Z", "seen": "1999-12-31T23:59:00Z"}}}`

func TestStateOfVersion1IsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := t.TempDir()
		key := model.LabelSet{"alertname": "Slow", "host": "quiet"}.Fingerprint()
		path := filepath.Join(directory, "incidents.json")
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(version1, "KEY", strconv.FormatUint(uint64(key), 10))), 0o600))
		w := begin(t, directory)
		w.store.silences["s"] = time.Now().Add(time.Hour)
		require.Len(t, w.Active(), 2)
		w.fire(t, nil)
		w.fire(t, model.LabelSet{"severity": "critical"})
		active := map[string]Incident{}
		for _, i := range w.Active() {
			active[i.Name+" "+i.Severity] = i
		}
		require.Len(t, active, 3, "the second severity is an incident of its own now")
		assert.Equal(t, "a-1", active["Slow warning"].ID)
		assert.Equal(t, "ann", active["Slow warning"].Acknowledgement.Who)
		assert.Equal(t, "b-1", active["Full critical"].ID)

		quiet := model.LabelSet{"host": "quiet", "escalation_from": "warning"}
		w.fire(t, quiet)
		require.Len(t, w.Active(), 3, "resolved by hand before")
		pass(sweepInterval)
		w.stop()
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Contains(t, string(content), `"version":2`)

		w = begin(t, directory)
		w.store.silences["s"] = time.Now().Add(time.Hour)
		w.fire(t, quiet)
		assert.Len(t, w.Active(), 3, "and still after another restart")
		w.clear(t, quiet)
		w.fire(t, quiet)
		assert.Len(t, w.Active(), 4, "its rule cleared, and came back")
		w.stop()

		require.NoError(t, os.WriteFile(path, []byte(`{"version": 3}`), 0o600))
		w = begin(t, directory)
		defer w.stop()
		assert.Contains(t, w.log.String(), "has version 3, this program knows 2")
	})
}
