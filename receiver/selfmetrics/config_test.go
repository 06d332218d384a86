package selfmetrics

import (
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// load returns the configuration under the name in testdata/config.yaml.
func load(t *testing.T, name string) *Config {
	t.Helper()
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	section, err := file.Sub(name)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, section.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	return cfg
}

func TestNothingHasToBeConfigured(t *testing.T) {
	cfg := load(t, "selfmetrics")
	assert.Equal(t, createDefaultConfig(), cfg)
	assert.Equal(t, "http://localhost:8888/metrics", cfg.Telemetry.Endpoint)
	assert.Equal(t, 10*time.Second, cfg.Controller.CollectionInterval)
	assert.Equal(t, 5*time.Second, cfg.Controller.Timeout)
}

func TestEverythingCanBeConfigured(t *testing.T) {
	cfg := load(t, "selfmetrics/full")
	assert.Equal(t, 30*time.Second, cfg.Controller.CollectionInterval)
	assert.Zero(t, cfg.Controller.InitialDelay)
	assert.Equal(t, 3*time.Second, cfg.Controller.Timeout)
	assert.Equal(t, "https://collector.example:8443/telemetry", cfg.Telemetry.Endpoint)
	assert.True(t, cfg.Telemetry.TLS.InsecureSkipVerify)
	assert.False(t, cfg.Metrics.Metrics.SystemNetworkPacketDropped.Enabled)
	assert.False(t, cfg.Metrics.Metrics.OtelcolSelfGcPause.Enabled)
	assert.True(t, cfg.Metrics.Metrics.OtelcolSelfThroughput.Enabled)
}

func TestConfigurationFaults(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"collection_interval": func(c *Config) { c.Controller.CollectionInterval = 0 },
		"`collection_interval` must be at least 10ms, found 10ns":                        func(c *Config) { c.Controller.CollectionInterval = 10 },
		"`timeout` must be positive, so that no source can hold up the others, found 0s": func(c *Config) { c.Controller.Timeout = 0 },
		"`telemetry::endpoint` must be a URL":                                            func(c *Config) { c.Telemetry.Endpoint = "::no url" },
		"such as \"http://localhost:8888/metrics\", found \"localhost:8888\"":            func(c *Config) { c.Telemetry.Endpoint = "localhost:8888" },
		"`telemetry::endpoint` must be an http or https URL":                             func(c *Config) { c.Telemetry.Endpoint = "http:///metrics" },
	} {
		cfg := createDefaultConfig().(*Config)
		spoil(cfg)
		assert.ErrorContains(t, errors.Join(confmap.Validate(cfg)), name)
	}
}

// TestTheEndpointMayWantTLSAndHeaders reads an endpoint that is served with a certificate of its own to those who know a secret.
func TestTheEndpointMayWantTLSAndHeaders(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Secret") != "open" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("otelcol_exporter_queue_size{exporter=\"x\",data_type=\"traces\"} 7\n"))
	}))
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))

	up := func(telemetry map[string]any) (up, queue float64) {
		telemetry["endpoint"] = server.URL
		cfg := createDefaultConfig().(*Config)
		require.NoError(t, confmap.NewFromStringMap(map[string]any{"telemetry": telemetry}).Unmarshal(cfg))
		s := newScraper(cfg, receivertest.NewNopSettings(metadata.Type))
		require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
		defer func() { require.NoError(t, s.shutdown(t.Context())) }()
		metrics, _ := s.scrape(t.Context())
		values := sourcetest.ValuesOf(t, metrics)
		return values["otelcol.self.scrape.up{source=endpoint}"], values["otelcol.self.queue.size{exporter=x,signal=traces}"]
	}
	tls, secret := map[string]any{"ca_file": authority}, map[string]any{"X-Secret": "open"}
	isUp, queue := up(map[string]any{"tls": tls, "headers": secret})
	assert.EqualValues(t, 1, isUp)
	assert.EqualValues(t, 7, queue)
	isUp, _ = up(map[string]any{"headers": secret})
	assert.Zero(t, isUp, "without the authority")
	isUp, _ = up(map[string]any{"tls": tls})
	assert.Zero(t, isUp, "without the header")
}

// TestEveryMetricCanBeSwitchedOff: with all of them off nothing is left, so that each has its switch.
func TestEveryMetricCanBeSwitchedOff(t *testing.T) {
	off := make(map[string]any)
	for name := range declared(t) {
		off[name] = map[string]any{"enabled": false}
	}
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = telemetryEndpoint(t, &atomic.Int64{})
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"metrics": off}).Unmarshal(cfg))
	s := newScraper(cfg, receivertest.NewNopSettings(metadata.Type))
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, s.shutdown(t.Context())) }()
	metrics, err := s.scrape(t.Context())
	require.NoError(t, err)
	assert.Empty(t, slices.Collect(maps.Keys(sourcetest.ValuesOf(t, metrics))))
}

// metric is the declaration of a metric in metadata.yaml.
type metric struct {
	Unit       string   `yaml:"unit"`
	Attributes []string `yaml:"attributes"`
}

// declared returns the metrics in metadata.yaml.
func declared(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile("metadata.yaml")
	require.NoError(t, err)
	var content struct {
		Metrics map[string]metric `yaml:"metrics"`
	}
	require.NoError(t, yaml.Unmarshal(text, &content))
	require.NotEmpty(t, content.Metrics)
	return content.Metrics
}

// own reports whether the name of a metric is one that the semantic conventions do not have.
func own(name string) bool {
	return strings.HasPrefix(name, "otelcol.self.") || strings.HasPrefix(name, "system.cpu.load_average.")
}
