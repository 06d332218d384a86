package pooledotlp

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// The converter is not part of this test's process, and yet its word is to be taken.
func init() { bytepath.Converted() }

// load reads one block of a file as this receiver's configuration.
func load(t *testing.T, file, id string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", file))
	require.NoError(t, err)
	require.Contains(t, conf.ToStringMap(), id)
	sub, err := conf.Sub(id)
	require.NoError(t, err)
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

// loadStock reads the same block, without our keys, as the stock receiver's.
func loadStock(t *testing.T, id string) *otlpreceiver.Config {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := conf.Sub(id)
	require.NoError(t, err)
	keys := sub.ToStringMap()
	delete(keys, "decode")
	delete(keys, "max_reading_bytes")
	cfg := otlpreceiver.NewFactory().CreateDefaultConfig().(*otlpreceiver.Config)
	require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(cfg))
	return cfg
}

func TestEveryConfigurationMeansWhatItMeansToTheStockReceiver(t *testing.T) {
	for _, id := range []string{"only_grpc", "only_http", "only_http_null", "only_http_empty_map", "both", "unix", "all"} {
		t.Run(id, func(t *testing.T) {
			cfg, err := load(t, "config.yaml", "pooledotlp/"+id)
			require.NoError(t, err)
			assert.Equal(t, loadStock(t, "pooledotlp/"+id).Protocols, cfg.Protocols)
		})
	}
}

func TestDefaultsAreTheStockReceivers(t *testing.T) {
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	stock := otlpreceiver.NewFactory().CreateDefaultConfig().(*otlpreceiver.Config)
	assert.Equal(t, stock.Protocols, cfg.Protocols)
	assert.Equal(t, DecodeAuto, cfg.Decode)
	assert.EqualValues(t, 64<<20, cfg.MaxReadingBytes)
	assert.False(t, cfg.encoded(wire.Traces))
}

func TestOurKeysInTheFullConfiguration(t *testing.T) {
	cfg, err := load(t, "config.yaml", "pooledotlp/all")
	require.NoError(t, err)
	assert.Equal(t, DecodeAlways, cfg.Decode)
	assert.EqualValues(t, 1<<20, cfg.MaxReadingBytes)
	assert.Equal(t, []string{"", "gzip", "br"}, cfg.Protocols.HTTP.Get().ServerConfig.CompressionAlgorithms)
	assert.Equal(t, otlpreceiver.SanitizedURLPath("/traces"), cfg.Protocols.HTTP.Get().TracesURLPath)

	cfg, err = load(t, "config.yaml", "pooledotlp/unix")
	require.NoError(t, err)
	assert.Equal(t, confignet.TransportTypeUnix, cfg.Protocols.GRPC.Get().NetAddr.Transport)

	cfg, err = load(t, "config.yaml", "pooledotlp/verified")
	require.NoError(t, err)
	assert.True(t, cfg.encoded(wire.Traces))
}

func TestInvalidConfigurationsNameKeyRuleAndValue(t *testing.T) {
	for id, want := range map[string][]string{
		"nothing":             {"`protocols` must name at least one of grpc and http"},
		"no_protocol":         {"`protocols` must name at least one of grpc and http"},
		"unknown_protocol":    {"has invalid keys: thrift"},
		"misspelled_protocol": {"has invalid keys: htttp"},
		"invalid_path":        {"invalid HTTP URL path set for signal"},
		"unverified_false":    {"`decode: false` must be verified by the bytepath converter", "`converters`", "`decode: auto`"},
		"unknown_decode":      {"`decode` must be auto, true or false, found \"sometimes\""},
		"several_faults":      {"decode"},
		"negative_size":       {"max_recv_msg_size_mib"},
		"negative_reading":    {"`max_reading_bytes` must be 0 (no bound) or more, found -1"},
		"unknown_servers": {
			"`grpc_server` must be auto or grpc-go, found \"net-http\"", "`http_server` must be auto or net-http, found \"grpc-go\"",
		},
	} {
		t.Run(id, func(t *testing.T) {
			_, err := load(t, "invalid_configs.yaml", id)
			for _, text := range want {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestAllFaultsAreReportedTogether(t *testing.T) {
	cfg := &Config{Decode: "sometimes"}
	err := cfg.Validate()
	require.ErrorContains(t, err, "`protocols` must name")
	require.ErrorContains(t, err, "`decode` must be")
}
