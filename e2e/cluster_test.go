package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// member is one Collector of a cluster that notifies a webhook.
func member(p ports, alerts, gossip, peer, webhook string) string {
	return fmt.Sprintf(`
receivers:
  selfmetrics: {telemetry: {endpoint: "http://%[6]s/metrics"}}
exporters:
  alertrules: {}
extensions:
  health_check: {endpoint: %[1]q}
  alertmanager:
    http: {endpoint: %[2]q}
    builtin_rules: {enabled: false}
    cluster: {listen: %[3]q, peers: [%[4]q]}
    alertmanager:
      route: {receiver: hook, group_by: [alertname], group_wait: 500ms, group_interval: 1s, repeat_interval: 1h}
      receivers: [{name: hook, webhook_configs: [{url: %[5]q, send_resolved: true}]}]
service:
  extensions: [health_check, alertmanager]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %[7]s}}}}]}}
  pipelines:
    metrics: {receivers: [selfmetrics], exporters: [alertrules]}
`, p.health, alerts, gossip, peer, webhook, p.metrics, p.metrics[strings.LastIndex(p.metrics, ":")+1:])
}

func postAlert(t *testing.T, address, name, queue string) {
	t.Helper()
	body := fmt.Sprintf(`[{"labels": {"alertname": %q, "queue": %q}, "startsAt": %q, "endsAt": %q}]`, name, queue,
		time.Now().Format(time.RFC3339Nano), time.Now().Add(time.Hour).Format(time.RFC3339Nano))
	post(t, "http://"+address+"/api/v2/alerts", body)
}

// TestTwoMembersOfAClusterNotifyOnce gives both the same alert, and then each a different one of the same group, which without a common
// store makes each find the other's notification incomplete, and notify again in every interval of the group.
func TestTwoMembersOfAClusterNotifyOnce(t *testing.T) {
	t.Parallel()
	hook, received := startWebhook(t)
	var alerts, gossip [2]string
	for i := range alerts {
		alerts[i], gossip[i] = freeAddress(t), freeAddress(t)
	}
	var members [2]*collector
	for i := range alerts {
		p := freePorts(t)
		members[i] = startCollector(t, distribution(t), p, member(p, alerts[i], gossip[i], gossip[1-i], hook))
	}
	for _, address := range alerts {
		postAlert(t, address, "Same", "a")
	}
	awaitNotification(t, received, "Same/a/firing")
	for i, queue := range []string{"a", "b"} {
		postAlert(t, alerts[i], "Different", queue)
	}
	// Members exchange everything each minute; awaitNotification waits for less.
	awaitNotification(t, received, "Different/a/firing", "Different/b/firing")
	for _, address := range alerts {
		status, listed := get(t, "http://"+address+"/api/v2/alerts")
		require.Equal(t, http.StatusOK, status)
		assert.Equal(t, 3, strings.Count(listed, `"alertname"`), "each member knows all of them")
	}
	// The second member waits 15 s for the first before it notifies a group: longer than that, and many of the group's intervals.
	select {
	case again := <-received:
		assert.Fail(t, "notified again", "%v", again)
	case <-time.After(20 * time.Second):
	}

	// What one of them is asked to resolve stays resolved where it comes from.
	postAlert(t, alerts[1], "Known", "a")
	awaitNotification(t, received, "Known/a/firing")
	post(t, "http://"+alerts[0]+"/api/v1/alerts/"+active(t, alerts[0])["Known"].ID+"/resolve", `{"who": "ann"}`)
	awaitNotification(t, received, "Known/a/resolved")
	require.Eventually(t, func() bool {
		postAlert(t, alerts[1], "Known", "a")
		_, listed := get(t, "http://"+alerts[1]+"/api/v2/alerts")
		return !strings.Contains(listed, "Known")
	}, 20*time.Second, 100*time.Millisecond)

	// A member that loads its configuration anew takes part again, on the same address.
	members[1].signal(t, syscall.SIGHUP)
	require.Eventually(t, func() bool { return strings.Count(members[1].log(), "Alerts are served") == 2 }, 30*time.Second, 100*time.Millisecond)
	postAlert(t, alerts[1], "AfterReload", "a")
	awaitNotification(t, received, "AfterReload/a/firing")
	for _, address := range alerts {
		require.Eventually(t, func() bool {
			_, listed := get(t, "http://"+address+"/api/v2/alerts")
			return strings.Contains(listed, "AfterReload") && strings.Contains(listed, "Different")
		}, 20*time.Second, 100*time.Millisecond, address)
	}
}
