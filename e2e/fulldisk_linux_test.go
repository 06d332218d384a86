package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := syscall.Mount("none", directory, "tmpfs", 0, "size=32m"); err != nil {
		t.Skip("file systems cannot be mounted here:", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(directory, syscall.MNT_DETACH)) })
	return directory
}

// TestAlertsGoOnWhileTheDiskIsFull fills the disk under the alerts. Rules go on with what comes in, people are told, an error is shown, and what was
// on disk before is whole after a kill -9.
func TestAlertsGoOnWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	hook, received := startWebhook(t)
	telemetry, directory := startExposition(t), smallDisk(t)
	p, alerts := freePorts(t), freeAddress(t)
	config := watcher(p, alerts, telemetry.URL, fmt.Sprintf("    storage: {directory: %q}\n", directory)+notifying(hook)+endpointAway)
	start := func() *collector {
		return startCollector(t, distribution(t), p, config, "--feature-gates=extension.healthcheck.useComponentStatus")
	}
	c := start()
	telemetry.absent.Store(true)
	awaitNotification(t, received, "EndpointAway/firing")
	telemetry.absent.Store(false)
	awaitNotification(t, received, "EndpointAway/resolved")
	now := time.Now()
	post(t, "http://"+alerts+"/api/v2/silences", fmt.Sprintf(`{"matchers": [{"name": "alertname", "value": "Silenced", "isRegex": false}],
		"startsAt": %q, "endsAt": %q, "createdBy": "bob", "comment": "maintenance"}`, now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)))
	awaitWritten(t, directory, time.Now())

	filler := filepath.Join(directory, "filler")
	require.ErrorIs(t, os.WriteFile(filler, make([]byte, 40<<20), 0o600), syscall.ENOSPC)
	failures := func() string {
		_, body := get(t, "http://"+c.metrics+"/metrics")
		return body
	}
	for _, file := range []string{"alerts", "notification_log", "silences"} {
		require.Eventually(t, func() bool {
			for line := range strings.Lines(failures()) {
				if strings.HasPrefix(line, "otelcol_alertmanager_state_write_failures") && strings.Contains(line, fmt.Sprintf("file=%q", file)) {
					return !strings.HasSuffix(line, " 0\n")
				}
			}
			return false
		}, 30*time.Second, 200*time.Millisecond, file)
	}
	unlogged, _ := c.metric(t, "otelcol_alertmanager_series_unlogged")
	assert.Positive(t, unlogged)
	telemetry.absent.Store(true)
	awaitNotification(t, received, "EndpointAway/firing")
	telemetry.absent.Store(false)
	awaitNotification(t, received, "EndpointAway/resolved")
	assert.Contains(t, c.log(), "metrics cannot be written to disk")
	assert.Contains(t, c.log(), "no space left on device")

	require.NoError(t, c.cmd.Process.Kill())
	<-c.exited
	require.NoError(t, os.Remove(filler))
	c = start()
	_, silences := get(t, "http://"+alerts+"/api/v2/silences")
	assert.Contains(t, silences, "maintenance", "what was written before is whole")
	status, _ := get(t, "http://"+p.health)
	assert.Equal(t, http.StatusOK, status)
	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 20*time.Second)
}
