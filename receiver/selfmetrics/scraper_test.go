package selfmetrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// telemetryEndpoint answers with a few metrics, or with what status says.
func telemetryEndpoint(t *testing.T, status *atomic.Int64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s := int(status.Load()); s != 0 {
			w.WriteHeader(s)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("# TYPE otelcol_exporter_queue_size gauge\notelcol_exporter_queue_size{exporter=\"x\",data_type=\"traces\"} 7\n"))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func startScraper(t *testing.T, endpoint string) (*selfScraper, *observer.ObservedLogs) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = endpoint
	set := receivertest.NewNopSettings(metadata.Type)
	core, logs := observer.New(zap.InfoLevel)
	set.Logger = zap.New(core)
	s := newScraper(cfg, set)
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, s.shutdown(context.Background())) })
	return s, logs
}

func TestEverySourceIsInAScrape(t *testing.T) {
	s, _ := startScraper(t, telemetryEndpoint(t, &atomic.Int64{}))
	metrics, err := s.scrape(t.Context())
	require.NoError(t, err)
	values := sourcetest.ValuesOf(t, metrics)
	for _, name := range []string{"endpoint", "process", "runtime", "host"} {
		assert.EqualValues(t, 1, values["otelcol.self.scrape.up{source="+name+"}"], name)
		assert.Positive(t, values["otelcol.self.scrape.duration{source="+name+"}"], name)
	}
	assert.EqualValues(t, 7, values["otelcol.self.queue.size{exporter=x,signal=traces}"])
	assert.Positive(t, values["go.goroutine.count"])
	assert.Positive(t, values["process.memory.usage"])
	assert.Positive(t, values["otelcol.self.cpu.limit"])
	assert.Positive(t, values["otelcol.self.memory.utilization"])
	assert.Positive(t, values["system.memory.usage{system.memory.state=used}"])
}

func TestTheEndpointsFaultIsLoggedOnceAndTheOthersGoOn(t *testing.T) {
	var status atomic.Int64
	s, logs := startScraper(t, telemetryEndpoint(t, &status))
	up := func() float64 {
		metrics, _ := s.scrape(t.Context())
		values := sourcetest.ValuesOf(t, metrics)
		assert.EqualValues(t, 1, values["otelcol.self.scrape.up{source=process}"])
		return values["otelcol.self.scrape.up{source=endpoint}"]
	}
	assert.EqualValues(t, 1, up())
	status.Store(http.StatusServiceUnavailable)
	for range 3 {
		assert.Zero(t, up())
	}
	status.Store(0)
	assert.EqualValues(t, 1, up())
	var messages []string
	for _, entry := range logs.All() {
		messages = append(messages, entry.Message)
	}
	assert.Equal(t, []string{
		"Source of self metrics cannot be read; its metrics are missing until it can",
		"Source of self metrics is readable again",
	}, messages)
}

// hanging is a source that answers when it is told to.
type hanging struct {
	answer chan struct{}
	reads  atomic.Int64
}

func (h *hanging) Read(context.Context) source.Reading {
	h.reads.Add(1)
	<-h.answer
	return source.Reading{}
}

func TestASourceThatHangsHoldsUpNobodyAndIsNotAskedAgain(t *testing.T) {
	s, _ := startScraper(t, telemetryEndpoint(t, &atomic.Int64{}))
	h := &hanging{answer: make(chan struct{})}
	s.sources = append(s.sources, &sourceState{name: metadata.AttributeSourceHost, source: h})
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		metrics, err := s.scrape(ctx)
		cancel()
		require.ErrorContains(t, err, "no answer after")
		assert.Positive(t, metrics.DataPointCount(), "what the others found is there")
	}
	assert.EqualValues(t, 1, h.reads.Load())
	close(h.answer)
}

func TestTheReceiverEmitsAndStopsAtOnce(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = telemetryEndpoint(t, &atomic.Int64{})
	cfg.Controller.InitialDelay = 0
	sink := &consumertest.MetricsSink{}
	r, err := NewFactory().CreateMetrics(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return sink.DataPointCount() > 50 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, r.Shutdown(t.Context()), "again")
}

func TestConfigurationFaults(t *testing.T) {
	valid := createDefaultConfig()
	require.NoError(t, confmap.Validate(valid))
	for name, spoil := range map[string]func(*Config){
		"collection_interval": func(c *Config) { c.Controller.CollectionInterval = 0 },
		"endpoint":            func(c *Config) { c.Telemetry.Endpoint = "::no url" },
	} {
		cfg := createDefaultConfig().(*Config)
		spoil(cfg)
		assert.ErrorContains(t, errors.Join(confmap.Validate(cfg)), name)
	}
}
