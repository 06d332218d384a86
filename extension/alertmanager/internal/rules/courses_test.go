package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPredictionsOnRecordedCourses replays what a running Collector measured of itself while its backend became slower, its queue filled, and so on
// (`make courses`), and looks at when each rule of the file begins to fire and when it recovers. A sample was taken every 500 ms and counts as
// 15 s here, so that a course of two minutes and a half is one of 75 minutes: the rules look back over half an hour and more.
// The comments say when something was done to the Collector.
func TestPredictionsOnRecordedCourses(t *testing.T) {
	for name, want := range map[string][]string{
		"quiet": nil,
		// From 37m30s the backend takes longer, from 42m30s eight times as long, and from 55m as long as before.
		"latency": {"50m15s UnusualLatency fires", "57m30s UnusualLatency recovers"},
		// From 37m30s to 52m30s a fifth of the clients' load.
		"throughput": {"47m0s UnusualThroughput fires", "53m30s UnusualThroughput recovers"},
		// From 15m to 50m memory grows from 21 % of the limit to 69 %.
		"memory": {"44m0s MemoryWillRunOut fires", "57m0s MemoryWillRunOut recovers"},
		// From 15m the disk fills; it is cleared at 52m30s.
		"disk": {"34m45s DiskWillFill fires", "52m45s DiskWillFill recovers"},
		// From 20m the backend is away. At 47m30s it is back, and the exporter has found out at 54m.
		"queue": {
			"35m0s UnusualThroughput fires", "37m15s QueueWillFill fires",
			"52m30s UnusualThroughput recovers", "55m45s QueueWillFill recovers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			const step = 15 * time.Second
			content, err := os.ReadFile(filepath.Join("testdata", "courses", name+".txt"))
			require.NoError(t, err)
			var series, turns []string
			for line := range strings.Lines(string(content)) {
				if !strings.HasPrefix(line, "#") {
					series = append(series, strings.TrimSpace(line))
				}
			}
			before := map[string]bool{}
			evaluate(t, strings.Join(series, "\n  "), loaded(t, "../../rules/prediction.yml"), step, 75*int(time.Minute/step), func(now time.Duration, r *prometheusrules.AlertingRule) {
				fires := r.State() == prometheusrules.StateFiring
				if fires != before[r.Name()] {
					turns = append(turns, fmt.Sprintf("%s %s %s", now, r.Name(), map[bool]string{true: "fires", false: "recovers"}[fires]))
				}
				before[r.Name()] = fires
			})
			assert.Equal(t, strings.Join(want, "\n"), strings.Join(turns, "\n"))
		})
	}
}
