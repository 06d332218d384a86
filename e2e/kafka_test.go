package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// TestKafkaTierDeliversEveryItem runs the two configurations of examples/kafka against a Kafka protocol server.
func TestKafkaTierDeliversEveryItem(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "otlp_spans", "otlp_metrics", "otlp_logs"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	broker := cluster.ListenAddrs()[0]
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)

	edge := freePorts(t)
	startExample(t, edge, "kafka/collector-config-edge.yaml", "KAFKA_BROKER="+broker)
	startExample(t, freePorts(t), "kafka/collector-config-drain.yaml", "KAFKA_BROKER="+broker, "BACKEND_ENDPOINT="+backend)
	const callers, requests, items = 4, 10, 43
	sendWithStockExporter(t, edge.grpc, "none", callers, requests, items)

	const all = callers * requests * items
	awaitTotal(t, arrived, 3*all, 60*time.Second)
	requireExactlyOnce(t, arrived, arrived.spans, sequence(0, all))
	requireExactlyOnce(t, arrived, arrived.points, sequence(0, all))
	requireExactlyOnce(t, arrived, arrived.records, sequence(0, all))
}

// startExample starts the distribution with a file of examples/ on the given addresses.
func startExample(t *testing.T, p ports, example string, environment ...string) *collector {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(repository, "examples", example))
	require.NoError(t, err)
	environment = append(environment, "OTLP_GRPC_ENDPOINT="+p.grpc, "OTLP_HTTP_ENDPOINT="+p.http,
		"HEALTH_ENDPOINT="+p.health, "METRICS_PORT="+p.metrics[strings.LastIndex(p.metrics, ":")+1:])
	return startProcess(t, distribution(t), p, environment, "--config", path)
}

// awaitTotal waits until so many items arrived in all.
func awaitTotal(t *testing.T, a *arrivals, want int, limit time.Duration) {
	t.Helper()
	timeout := time.After(limit)
	for a.totals() < want {
		select {
		case <-a.changed:
		case <-timeout:
			require.FailNow(t, "items are missing", "%d of %d arrived within %v", a.totals(), want, limit)
		}
	}
}
