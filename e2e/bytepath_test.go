package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const byteMetric = "otelcol_receiver_pooledotlp_byte_path"

// pooledReceiver is mainJob with the receiver renamed.
func (p ports) pooledReceiver(backend string) string {
	return strings.NewReplacer("\n  otlp:\n", "\n  pooledotlp:\n", "[otlp]", "[pooledotlp]").Replace(p.mainJob(backend))
}

// counter is metric, whether or not the exposition adds to the name what kind it is.
func (c *collector) counter(t *testing.T, name string) (float64, bool) {
	t.Helper()
	if value, found := c.metric(t, name); found {
		return value, true
	}
	return c.metric(t, name+"_total")
}

// startGateway runs examples/gateway.
func startGateway(t *testing.T, p ports, backend string, arguments ...string) *collector {
	t.Helper()
	config, err := filepath.Abs(filepath.Join(repository, "examples/gateway/collector-config.yaml"))
	require.NoError(t, err)
	return startProcess(t, distribution(t), p, []string{
		"OTLP_GRPC_ENDPOINT=" + p.grpc, "OTLP_HTTP_ENDPOINT=" + p.http, "BACKEND_ENDPOINT=" + backend,
		"METRICS_PORT=" + p.metrics[strings.LastIndex(p.metrics, ":")+1:],
	}, append([]string{"--config", config}, arguments...)...)
}

// TestGatewayExampleForwardsBytes runs examples/gateway and sends numbered items of every signal through it, in every
// compression of the stock exporter.
func TestGatewayExampleForwardsBytes(t *testing.T) {
	t.Parallel()
	for _, compression := range []configcompression.Type{"none", "gzip", "zstd", "snappy"} {
		t.Run(string(compression), func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			c := startGateway(t, p, backend)

			const callers, requests, items = 8, 10, 57
			sendWithStockExporter(t, p.grpc, compression, callers, requests, items)

			all := sequence(0, callers*requests*items)
			requireExactlyOnce(t, arrived, arrived.spans, all)
			requireExactlyOnce(t, arrived, arrived.points, all)
			requireExactlyOnce(t, arrived, arrived.records, all)
			signals, _ := c.metric(t, byteMetric)
			assert.EqualValues(t, 3, signals, "all three signals stay bytes")
			assert.Equal(t, 3, strings.Count(c.log(), `"requests_stay_encoded": true`), "a line for each signal")
			for _, name := range []string{"receiver_accepted", "exporter_sent"} {
				for _, of := range []string{"spans", "metric_points", "log_records"} {
					counted, _ := c.counter(t, "otelcol_"+name+"_"+of)
					assert.EqualValues(t, len(all), counted, "%s of %s", name, of)
				}
			}
		})
	}
}

// TestReceiverDecodesWhereAComponentLooksIntoTelemetry: with decode: auto a processor that needs objects gets them.
func TestReceiverDecodesWhereAComponentLooksIntoTelemetry(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]string{
		"a processor": {
			"yaml:processors::filter: {traces: {span: ['name == \"none\"']}}",
			"yaml:service::pipelines::traces::processors: [memory_limiter, filter, adaptivebatch]",
		},
		"a fan-out": {
			"yaml:exporters::nop: {}", "yaml:service::pipelines::traces::exporters: [pooledotlp, nop]",
		},
		"a connector": {
			"yaml:connectors::forward: {}", "yaml:service::pipelines::traces::exporters: [forward]",
			"yaml:service::pipelines::traces/2: {receivers: [forward], processors: [adaptivebatch], exporters: [pooledotlp]}",
		},
		"another pipeline": {
			"yaml:exporters::debug: {}",
			"yaml:service::pipelines::traces/2: {receivers: [pooledotlp], exporters: [debug]}",
		},
		"decode: true": {"yaml:receivers::pooledotlp::decode: true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			var arguments []string
			for _, override := range change {
				arguments = append(arguments, "--config", override)
			}
			c := startCollector(t, distribution(t), p, p.pooledReceiver(backend), arguments...)

			require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 777))

			requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 777))
			stay := 2 // metrics and logs, whose pipelines nothing was put into
			if name == "decode: true" {
				stay = 0
			}
			signals, found := c.metric(t, byteMetric)
			assert.True(t, found)
			assert.EqualValues(t, stay, signals)
			assert.Equal(t, stay, strings.Count(c.log(), `"requests_stay_encoded": true`))
			assert.Regexp(t, `"data_type": "traces", "requests_stay_encoded": false`, c.log())
		})
	}
}

// TestOneReceiverInSeveralBytePipelines: the same bytes go to two backends.
func TestOneReceiverInSeveralBytePipelines(t *testing.T) {
	t.Parallel()
	first, second := freeAddress(t), freeAddress(t)
	a, _ := startBackend(t, first)
	b, _ := startBackend(t, second)
	p := freePorts(t)
	c := startCollector(t, distribution(t), p, p.pooledReceiver(first),
		"--config", "yaml:exporters::pooledotlp/2: {endpoint: '"+second+"', tls: {insecure: true}}",
		"--config", "yaml:service::pipelines::traces/2: {receivers: [pooledotlp], processors: [adaptivebatch], exporters: [pooledotlp/2]}")

	require.NoError(t, newClient(t, p.grpc).send(t.Context(), 0, 5000)) // more than a batch

	requireExactlyOnce(t, a, a.spans, sequence(0, 5000))
	requireExactlyOnce(t, b, b.spans, sequence(0, 5000))
	signals, _ := c.metric(t, byteMetric)
	assert.EqualValues(t, 3, signals)
}

// TestDecodeFalseIsRefusedWhereItCannotHold: by `validate` and at the start, with component, pipeline and remedy.
func TestDecodeFalseIsRefusedWhereItCannotHold(t *testing.T) {
	t.Parallel()
	config, err := filepath.Abs(filepath.Join(repository, "examples/gateway/collector-config.yaml"))
	require.NoError(t, err)
	arguments := []string{
		"--config", config, "--config", "yaml:processors::batch: {}",
		"--config", "yaml:service::pipelines::traces::processors: [memory_limiter, batch]",
	}
	for _, command := range [][]string{{"validate"}, {}} {
		output, code := run(t, distribution(t), append(command, arguments...)...)
		assert.NotZero(t, code)
		for _, words := range []string{"receivers::pooledotlp::decode", `processor "batch"`, `pipeline "traces"`, "`decode: auto`"} {
			assert.Contains(t, output, words)
		}
	}
}

// TestCountersThatReadZero: the README names every counter that does not know the items on the byte path, and no others.
func TestCountersThatReadZero(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	startBackend(t, backend)
	p := freePorts(t)
	c := startGateway(t, p, backend, "--config", "yaml:service::telemetry::metrics::level: detailed",
		"--config", "yaml:service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: "+
			p.metrics[strings.LastIndex(p.metrics, ":")+1:]+", without_scope_info: false}}}}]",
		"--feature-gates=telemetry.newPipelineTelemetry")
	assert.NotRegexp(t, `"otelcol.component.kind": "receiver", "otelcol.signal"`, c.log(), "one receiver for all signals")
	sendWithStockExporter(t, p.grpc, "none", 2, 3, 10)

	_, body := get(t, "http://"+c.metrics+"/metrics")
	zero, counted := map[string]bool{}, map[string]bool{}
	for _, series := range regexp.MustCompile(`(?m)^otelcol_(\w+?)(?:_total)?(?:\{[^\n]*\})? (\S+)$`).FindAllStringSubmatch(body, -1) {
		name := series[1]
		// Those of our own components are held by their own tests.
		if strings.Contains(name, "adaptivebatch") || strings.Contains(name, "pooledotlp") {
			continue
		}
		items := regexp.MustCompile(`items|spans|metric_points|log_records|(consumed|produced)_size$`).MatchString(name)
		if !items || regexp.MustCompile(`refused|failed|queue`).MatchString(name) {
			continue // 0 because all went well
		}
		if series[2] == "0" || strings.HasSuffix(name, "_size") {
			zero[name] = true
		} else {
			counted[name] = true
		}
	}
	for _, name := range []string{"receiver_accepted_spans", "exporter_sent_log_records"} {
		assert.True(t, counted[name], name)
	}
	readme, err := os.ReadFile(filepath.Join(repository, "receiver/pooledotlp/README.md"))
	require.NoError(t, err)
	var names []string
	for name := range zero {
		names = append(names, "otelcol_"+name)
	}
	slices.Sort(names)
	var listed []string
	list := regexp.MustCompile("(?s)Counters that read 0.*?```text\n(.*?)```").FindStringSubmatch(string(readme))
	require.NotNil(t, list)
	for _, line := range strings.Fields(list[1]) {
		if !strings.Contains(line, "refused") {
			listed = append(listed, line)
		}
	}
	slices.Sort(listed)
	assert.Equal(t, names, listed)
}

// TestABytePipelineWithTwoExporters: a fan-out behind the batches.
func TestABytePipelineWithTwoExporters(t *testing.T) {
	t.Parallel()
	first, second := freeAddress(t), freeAddress(t)
	a, _ := startBackend(t, first)
	b, stop := startBackend(t, second)
	p := freePorts(t)
	c := startGateway(t, p, first,
		"--config", "yaml:exporters::pooledotlp/2: {endpoint: '"+second+"', tls: {insecure: true}, protocol: grpc, retry_on_failure: {enabled: false}}",
		"--config", "yaml:service::pipelines::traces::exporters: [pooledotlp, pooledotlp/2]")
	client := newClient(t, p.grpc)
	require.NoError(t, client.send(t.Context(), 0, 5000))
	requireExactlyOnce(t, a, a.spans, sequence(0, 5000))
	requireExactlyOnce(t, b, b.spans, sequence(0, 5000))
	signals, _ := c.metric(t, byteMetric)
	assert.EqualValues(t, 3, signals)

	// What one of them could not deliver is not acknowledged.
	stop()
	assert.Equal(t, codes.Unavailable, status.Code(client.send(t.Context(), 10_000, 10)))
	sent, _ := c.counter(t, "otelcol_exporter_sent_spans")
	assert.EqualValues(t, 2*5000+10, sent)
	failed, _ := c.counter(t, "otelcol_exporter_send_failed_spans")
	assert.EqualValues(t, 10, failed)
}

// TestEachSignalHasItsOwnPath: what looks into the logs does not make the traces more expensive.
func TestEachSignalHasItsOwnPath(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	c := startGateway(t, p, backend, "--set", "receivers.pooledotlp.decode=auto",
		"--config", "yaml:processors::filter: {logs: {log_record: ['body == \"none\"']}}",
		"--config", "yaml:service::pipelines::logs::processors: [memory_limiter, filter, adaptivebatch]")
	sendWithStockExporter(t, p.grpc, "gzip", 2, 3, 50)
	all := sequence(0, 300)
	requireExactlyOnce(t, arrived, arrived.spans, all)
	requireExactlyOnce(t, arrived, arrived.points, all)
	requireExactlyOnce(t, arrived, arrived.records, all)
	_, body := get(t, "http://"+c.metrics+"/metrics")
	for signal, path := range map[string]string{"traces": "1", "metrics": "1", "logs": "0"} {
		assert.Contains(t, body, byteMetric+`{data_type="`+signal+`",receiver="pooledotlp"} `+path)
	}
	assert.Contains(t, c.log(), `"because": "processor \"filter\" in pipeline \"logs\" looks into them"`)
}

// TestTheWholeConfigurationCounts: files, variables and --set together make the pipelines, and IDs may have names and spaces.
func TestTheWholeConfigurationCounts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pipelines, exporter string
		arguments           []string
		path                float64
	}{
		"two files": {
			pipelines: "traces: {receivers: [pooledotlp/in], processors: [adaptivebatch/by_tenant], exporters: [pooledotlp/out]}", path: 1,
		},
		"a variable that names the exporter": {
			pipelines: "traces: {receivers: [pooledotlp/in], processors: [adaptivebatch/by_tenant], exporters: ['${env:EXPORTER}']}",
			exporter:  "pooledotlp/out", path: 1,
		},
		"a variable that names another": {
			pipelines: "traces: {receivers: [pooledotlp/in], processors: [adaptivebatch/by_tenant], exporters: [pooledotlp/out, '${env:EXPORTER}']}",
			exporter:  "debug", path: 0,
		},
		"a variable that is the whole list": {
			pipelines: "traces: {receivers: [pooledotlp/in], processors: [adaptivebatch/by_tenant], exporters: '${env:EXPORTER}'}",
			exporter:  "[pooledotlp/out, debug]", path: 0,
		},
		"--set": {
			pipelines: "traces: {receivers: [pooledotlp/in], processors: [adaptivebatch/by_tenant], exporters: [pooledotlp/out]}",
			arguments: []string{"--set", "service.pipelines.traces.processors=[batch, adaptivebatch/by_tenant]"}, path: 0,
		},
		"IDs with spaces": {
			pipelines: "{traces: {receivers: ['pooledotlp / in'], processors: [adaptivebatch/by_tenant], exporters: ['pooledotlp/ out', 'debug ']}, " +
				"traces/2: {receivers: [pooledotlp/in], processors: [adaptivebatch/by_tenant], exporters: [pooledotlp/out]}}", path: 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			components := writeConfig(t, `
receivers: {pooledotlp/in: {protocols: {grpc: {endpoint: "`+p.grpc+`", include_metadata: true}}}}
processors: {adaptivebatch/by_tenant: {metadata_keys: [tenant]}, batch: {}}
exporters: {pooledotlp/out: {endpoint: "`+backend+`", tls: {insecure: true}}, debug: {}}
`)
			pipelines := writeConfig(t, `
service:
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: `+p.metrics[strings.LastIndex(p.metrics, ":")+1:]+`}}}}]}}
  pipelines: {`+strings.Trim(test.pipelines, "{}")+`}}
`)
			c := startProcess(t, distribution(t), p, []string{"EXPORTER=" + test.exporter},
				append([]string{"--config", components, "--config", pipelines}, test.arguments...)...)
			ctx := metadata.AppendToOutgoingContext(t.Context(), "tenant", "a")
			require.NoError(t, newClient(t, p.grpc).send(ctx, 0, 100))
			require.Eventually(t, func() bool {
				arrived.mu.Lock()
				defer arrived.mu.Unlock()
				return len(missing(arrived.spans, sequence(0, 100))) == 0
			}, 20*time.Second, 20*time.Millisecond)
			path, found := c.metric(t, byteMetric)
			assert.True(t, found)
			assert.Equal(t, test.path, path)
		})
	}
}

// TestAReloadMayChangeThePath: SIGHUP with a pipeline that needs objects, and back.
func TestAReloadMayChangeThePath(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	bytes := p.pooledReceiver(backend)
	objects := strings.Replace(bytes, "[memory_limiter, adaptivebatch]", "[memory_limiter, batch]", 1) + "\n"
	objects = strings.Replace(objects, "processors:\n", "processors:\n  batch: {}\n", 1)
	path := writeConfig(t, bytes)
	c := startProcess(t, distribution(t), p, nil, "--config", path)
	l := startLoad(t, p.grpc, 8, 20)
	for i, config := range []string{objects, bytes, objects, bytes} {
		acknowledged, _ := l.progress()
		awaitProgress(t, l, acknowledged+1000, 30*time.Second)
		require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
		c.signal(t, syscall.SIGHUP)
		c.awaitReady(t)
		signals, _ := c.metric(t, byteMetric)
		assert.EqualValues(t, 3*(i%2), signals)
	}
	acknowledged, _ := l.progress()
	awaitProgress(t, l, acknowledged+1000, 30*time.Second)
	l.stop()
	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 45*time.Second)
	assert.NoError(t, c.exitErr)
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	assert.Empty(t, missing(arrived.spans, l.acknowledged), "acknowledged and lost")
	assert.Zero(t, arrived.broken)
}

// TestTheMemoryLimiterRefusesOnBothPaths: the client is told to come again, and the items are counted as refused.
func TestTheMemoryLimiterRefusesOnBothPaths(t *testing.T) {
	t.Parallel()
	for _, decode := range []string{"auto", "true"} {
		t.Run("decode="+decode, func(t *testing.T) {
			t.Parallel()
			backend := freeAddress(t)
			arrived, _ := startBackend(t, backend)
			p := freePorts(t)
			c := startGateway(t, p, backend, "--set", "receivers.pooledotlp.decode="+decode,
				"--config", "yaml:processors::memory_limiter: {check_interval: 10ms, limit_mib: 1, spike_limit_mib: 0}")
			client, refused := newClient(t, p.grpc), 0
			require.Eventually(t, func() bool { // until it has looked for the first time
				err := client.send(t.Context(), 1000, 10)
				if status.Code(err) == codes.Unavailable {
					refused += 10
				}
				return refused > 0
			}, 20*time.Second, 10*time.Millisecond)
			body, err := ptraceotlp.NewExportRequestFromTraces(numberedTraces(0, 10)).MarshalProto()
			require.NoError(t, err)
			response, err := http.Post("http://"+p.http+"/v1/traces", "application/x-protobuf", strings.NewReader(string(body)))
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
			refused += 10
			counted, _ := c.counter(t, "otelcol_receiver_refused_spans")
			assert.EqualValues(t, refused, counted)
			limited, has := c.counter(t, "otelcol_processor_memory_limiter_refused_spans")
			assert.True(t, has)
			assert.Equal(t, decode == "auto", limited == 0, "%v, as the receiver's README says", limited)
			arrived.mu.Lock()
			defer arrived.mu.Unlock()
			assert.Len(t, missing(arrived.spans, sequence(0, 10)), 10)
		})
	}
}

// TestAClientThatStopsInTheMiddleDoesNotHoldUpTheExit: neither over HTTP nor over gRPC, where it has opened a call and says no more.
func TestAClientThatStopsInTheMiddleDoesNotHoldUpTheExit(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	startBackend(t, backend)
	p := freePorts(t)
	c := startGateway(t, p, backend)
	l := startLoad(t, p.grpc, 4, 10)
	awaitProgress(t, l, 1000, 30*time.Second)
	l.stop()
	connection, err := net.Dial("tcp", p.http)
	require.NoError(t, err)
	defer connection.Close()
	_, err = connection.Write([]byte("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000\r\n\r\n\n"))
	require.NoError(t, err)
	open, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer open.Close()
	_, err = open.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
		grpc.WaitForReady(true))
	require.NoError(t, err)

	c.signal(t, syscall.SIGTERM)
	c.awaitExit(t, 30*time.Second)
	assert.NoError(t, c.exitErr)
	assert.Contains(t, c.log(), "Connections were cut off whose clients had not sent their requests to the end.")
}
