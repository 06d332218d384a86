package endpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func attemptsOf(accepted, unavailable, canceled int) string {
	return counter("otelcol_exporter_pooledotlp_attempts",
		fmt.Sprintf(`{exporter="p",data_type="traces",outcome="accepted"} %d`, accepted),
		fmt.Sprintf(`{exporter="p",data_type="traces",outcome="unavailable"} %d`, unavailable),
		fmt.Sprintf(`{exporter="p",data_type="traces",outcome="canceled"} %d`, canceled))
}

func TestFailedAttemptsShowBeforeItemsAreGivenUp(t *testing.T) {
	values := between(t, items("traces", 0, 0, 100, 0)+attemptsOf(0, 0, 0), items("traces", 0, 0, 200, 0)+attemptsOf(30, 10, 60))
	assertValue(t, values, "otelcol.self.error.ratio{direction=export,signal=traces}", 0.25)
	assertValue(t, values, "otelcol.self.request.rate{direction=export}", 10)
}

func TestTheWorseOfLostItemsAndFailedAttemptsIsTheErrorRatio(t *testing.T) {
	values := between(t, items("traces", 0, 0, 0, 0)+attemptsOf(0, 0, 0), items("traces", 0, 0, 50, 50)+attemptsOf(90, 10, 0))
	assertValue(t, values, "otelcol.self.error.ratio{direction=export,signal=traces}", 0.5)
}

func TestDroppedItemsHaveTheReasonOfTheExporterThatKnowsIt(t *testing.T) {
	at := func(n int) string {
		return attemptsOf(n, 0, 0) +
			counter("otelcol_exporter_send_failed_spans", fmt.Sprintf(`{exporter="p"} %d`, n), fmt.Sprintf(`{exporter="stock"} %d`, 2*n)) +
			counter("otelcol_exporter_enqueue_failed_spans", fmt.Sprintf(`{exporter="p"} %d`, 3*n)) +
			counter("otelcol_exporter_pooledotlp_dropped_items", fmt.Sprintf(`{exporter="p",data_type="traces",reason="rejected"} %d`, n)) +
			counter("otelcol_processor_adaptivebatch_lost_items", fmt.Sprintf(`{processor="adaptivebatch",data_type="traces"} %d`, 4*n))
	}
	values := between(t, at(0), at(10))
	assertValue(t, values, "otelcol.self.dropped{reason=rejected,signal=traces}", 1)
	assertValue(t, values, "otelcol.self.dropped{reason=not_sent,signal=traces}", 2)
	assertValue(t, values, "otelcol.self.dropped{reason=not_enqueued,signal=traces}", 3)
	assertValue(t, values, "otelcol.self.dropped{reason=batch_not_sent,signal=traces}", 4)
}

// The stock batch processor has answered its callers before anything is sent.
func TestItemsThatFailWithNobodyToldAreDropped(t *testing.T) {
	at := func(failed, refused int) string {
		return attemptsOf(0, 0, 0) + counter("otelcol_exporter_send_failed_spans", fmt.Sprintf(`{exporter="p"} %d`, failed)) +
			counter("otelcol_receiver_refused_spans", fmt.Sprintf(`{receiver="r",transport="grpc"} %d`, refused))
	}
	assertValue(t, between(t, at(0, 0), at(10, 0)), "otelcol.self.dropped{reason=not_sent,signal=traces}", 1)
	assert.NotContains(t, between(t, at(0, 0), at(10, 10)), "otelcol.self.dropped{reason=not_sent,signal=traces}")
}

func TestRetries(t *testing.T) {
	at := func(n int) string {
		return counter("otelcol_exporter_pooledotlp_retries", fmt.Sprintf(`{exporter="p",data_type="traces"} %d`, n),
			fmt.Sprintf(`{exporter="p",data_type="logs"} %d`, n))
	}
	assertValue(t, between(t, at(0), at(10)), "otelcol.self.retries{exporter=p}", 2)
}

func TestQueues(t *testing.T) {
	values := last(t, step{body: gauge("otelcol_exporter_queue_size", `{exporter="a",data_type="traces"} 250`, `{exporter="b",data_type="logs"} 5`, `{exporter="c"} 1`) +
		gauge("otelcol_exporter_queue_capacity", `{exporter="a",data_type="traces"} 1000`, `{exporter="b",data_type="logs"} 0`)})
	assertValue(t, values, "otelcol.self.queue.size{exporter=a,signal=traces}", 250)
	assertValue(t, values, "otelcol.self.queue.capacity{exporter=a,signal=traces}", 1000)
	assertValue(t, values, "otelcol.self.queue.utilization{exporter=a,signal=traces}", 0.25)
	assertValue(t, values, "otelcol.self.queue.size{exporter=b,signal=logs}", 5)
	assert.NotContains(t, values, "otelcol.self.queue.utilization{exporter=b,signal=logs}", "of no capacity there is no share")
	assert.NotContains(t, values, "otelcol.self.queue.size{exporter=c,signal=}", "of no signal")
}

func TestBatchers(t *testing.T) {
	of := func(name string, value int) string {
		return gauge("otelcol_processor_adaptivebatch_"+name, fmt.Sprintf(`{processor="adaptivebatch",data_type="traces"} %d`, value))
	}
	values := last(t, step{body: of("in_flight", 7) + of("target", 300) + of("pending_bytes", 500) + of("pending_bytes_limit", 1000) +
		of("waiting_bytes", 10) + of("waiting_bytes_limit", 1000)})
	const batcher = "{processor=adaptivebatch,signal=traces}"
	assertValue(t, values, "otelcol.self.in_flight{otelcol.component.id=adaptivebatch,otelcol.component.kind=processor}", 7)
	assertValue(t, values, "otelcol.self.batch.target"+batcher, 300)
	assertValue(t, values, "otelcol.self.pending.bytes"+batcher, 500)
	assertValue(t, values, "otelcol.self.pending.utilization"+batcher, 0.5)
	assertValue(t, values, "otelcol.self.waiting.bytes"+batcher, 10)
	assertValue(t, values, "otelcol.self.waiting.utilization"+batcher, 0.01)
}

func TestInFlightPrefersCallsOnTheWire(t *testing.T) {
	values := last(t, step{body: gauge("otelcol_exporter_in_flight_requests", `{exporter="p"} 9`, `{exporter="stock"} 4`) +
		gauge("otelcol_exporter_pooledotlp_in_flight", `{exporter="p",data_type="traces"} 2`, `{exporter="p",data_type="logs"} 1`)})
	assertValue(t, values, "otelcol.self.in_flight{otelcol.component.id=p,otelcol.component.kind=exporter}", 3)
	assertValue(t, values, "otelcol.self.in_flight{otelcol.component.id=stock,otelcol.component.kind=exporter}", 4)
}

func TestConnectionsAndHitRatios(t *testing.T) {
	at := func(picks, opened, hits, misses int) string {
		return counter("otelcol_exporter_pooledotlp_picks", fmt.Sprintf(`{exporter="p"} %d`, picks)) +
			counter("otelcol_exporter_pooledotlp_connections_opened", fmt.Sprintf(`{exporter="p"} %d`, opened)) +
			counter("otelcol_exporter_pooledotlp_buffer_hits", fmt.Sprintf(`{exporter="p"} %d`, hits)) +
			counter("otelcol_exporter_pooledotlp_buffer_misses", fmt.Sprintf(`{exporter="p"} %d`, misses)) +
			counter("otelcol_receiver_pooledotlp_buffer_requests", fmt.Sprintf(`{result="hit"} %d`, hits), fmt.Sprintf(`{result="miss"} %d`, 3*misses)) +
			gauge("otelcol_exporter_pooledotlp_connections", `{exporter="p",state="ready"} 3`, `{exporter="p",state="ejected"} 0`)
	}
	const exporterPool, receiverPool = "{otelcol.component.id=p,otelcol.component.kind=exporter,pool=%s}", "{otelcol.component.id=pooledotlp,otelcol.component.kind=receiver,pool=buffers}"
	values := between(t, at(0, 0, 0, 0), at(100, 2, 30, 10))
	assertValue(t, values, "otelcol.self.connections{exporter=p,state=ready}", 3)
	assertValue(t, values, "otelcol.self.connections{exporter=p,state=ejected}", 0)
	assertValue(t, values, "otelcol.self.pool.hit.ratio"+fmt.Sprintf(exporterPool, "connections"), 0.98)
	assertValue(t, values, "otelcol.self.pool.hit.ratio"+fmt.Sprintf(exporterPool, "buffers"), 0.75)
	assertValue(t, values, "otelcol.self.pool.hit.ratio"+receiverPool, 0.5)

	values = between(t, at(0, 0, 0, 0), at(1, 5, 0, 0))
	assertValue(t, values, "otelcol.self.pool.hit.ratio"+fmt.Sprintf(exporterPool, "connections"), 0)
	assert.NotContains(t, values, "otelcol.self.pool.hit.ratio"+fmt.Sprintf(exporterPool, "buffers"))
}

func TestCompressionRatio(t *testing.T) {
	at := func(before, after int) string {
		return counter("otelcol_exporter_pooledotlp_uncompressed_bytes_total", fmt.Sprintf(`{exporter="p"} %d`, before)) +
			counter("otelcol_exporter_pooledotlp_wire_bytes_total", fmt.Sprintf(`{exporter="p"} %d`, after))
	}
	assertValue(t, between(t, at(0, 0), at(400, 100)), "otelcol.self.compression.ratio{exporter=p}", 4)
	assertAbsent(t, between(t, at(400, 100), at(400, 100)), "otelcol.self.compression.ratio")
}

// TestCatalogNamesWhatTheComponentsReport holds the names and labels in the catalog against the components' own declarations.
func TestCatalogNamesWhatTheComponentsReport(t *testing.T) {
	declared := make(map[string][]string)
	for _, folder := range []string{"exporter/pooledotlp", "receiver/pooledotlp", "processor/adaptivebatch"} {
		text, err := os.ReadFile(filepath.Join("../../../..", folder, "metadata.yaml"))
		require.NoError(t, err)
		var content struct {
			Telemetry struct {
				Metrics map[string]struct {
					Attributes []string `yaml:"attributes"`
				} `yaml:"metrics"`
			} `yaml:"telemetry"`
		}
		require.NoError(t, yaml.Unmarshal(text, &content))
		for name, metric := range content.Telemetry.Metrics {
			declared["otelcol_"+name] = metric.Attributes
		}
	}
	for name, f := range catalog {
		if !strings.Contains(name, "pooledotlp") && !strings.Contains(name, "adaptivebatch") {
			continue
		}
		attributes, found := declared[name]
		if !assert.True(t, found, "%s is declared by no component", name) {
			continue
		}
		for _, label := range []string{f.id, f.detail} {
			if label != "" {
				assert.Contains(t, attributes, label, name)
			}
		}
	}
}
