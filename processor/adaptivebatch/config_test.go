package adaptivebatch

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

// load returns the named configuration of testdata/config.yaml.
func load(t *testing.T, file, name string) *Config {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", file))
	require.NoError(t, err)
	sub, err := conf.Sub(component.MustNewIDWithName("adaptivebatch", name).String())
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	return cfg
}

func TestConfiguration(t *testing.T) {
	defaults := func(change func(*Config)) *Config {
		cfg := createDefaultConfig().(*Config)
		change(cfg)
		return cfg
	}
	for name, want := range map[string]*Config{
		"defaults": defaults(func(*Config) {}),
		"every_key": {
			Timeout: 50 * time.Millisecond, SendBatchSize: 200, SendBatchMinSize: 20, SendBatchMaxSize: 1000, SendBatchMaxBytes: 1 << 20,
			Adaptive: false, Optimizations: OptimizationsAll, Encode: EncodeNever, MaxConcurrency: 16, MaxPendingBytes: 8 << 20, MaxWaitingBytes: 4 << 20,
			BlockOnOverflow: false, WaitForResult: false, MaxWait: 5 * time.Second, ShutdownTimeout: 3 * time.Second,
			MetadataKeys: []string{"tenant", "Token"}, MetadataCardinalityLimit: 10,
		},
		"stock":               defaults(func(c *Config) { c.SendBatchSize, c.SendBatchMaxSize, c.Timeout = 8192, 8192, 10*time.Second }),
		"stock_without_limit": defaults(func(c *Config) { c.SendBatchSize, c.SendBatchMaxSize = 8192, 0 }),
		"stock_maximum_only":  defaults(func(c *Config) { c.SendBatchSize, c.SendBatchMaxSize = 50, 50 }),
		"stock_sends_at_once": defaults(func(c *Config) { c.SendBatchSize, c.SendBatchMinSize, c.Timeout = 0, 0, 0 }),
		"defaults_yield":      defaults(func(c *Config) { c.SendBatchSize, c.SendBatchMinSize, c.SendBatchMaxSize = 5, 5, 5 }),
		"minimum_only":        defaults(func(c *Config) { c.SendBatchSize, c.SendBatchMinSize, c.SendBatchMaxSize = 3000, 3000, 3000 }),
		"few_pending":         defaults(func(c *Config) { c.MaxPendingBytes, c.SendBatchMaxBytes = 1<<20, 1<<20 }),
		"no_optimizations": defaults(func(c *Config) {
			c.Optimizations, c.Adaptive, c.SendBatchMaxBytes, c.WaitForResult = "none", false, 0, false
		}),
		"fixed_and_patient":        defaults(func(c *Config) { c.Adaptive, c.Timeout, c.MaxWait = false, time.Minute, 2*time.Minute }),
		"fixed_and_impatient":      defaults(func(c *Config) { c.Adaptive, c.Timeout, c.MaxWait = false, 50*time.Millisecond, 100*time.Millisecond }),
		"fixed_for_nobody":         defaults(func(c *Config) { c.Adaptive, c.WaitForResult, c.Timeout = false, false, time.Minute }),
		"fixed_at_once":            defaults(func(c *Config) { c.Adaptive, c.SendBatchSize, c.SendBatchMinSize, c.Timeout = false, 0, 0, time.Minute }),
		"adaptive_and_patient":     defaults(func(c *Config) { c.Timeout = time.Minute }),
		"none_but_wait_for_result": defaults(func(c *Config) { c.Optimizations, c.Adaptive, c.SendBatchMaxBytes = "none", false, 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := load(t, "config.yaml", name)
			require.NoError(t, confmap.Validate(cfg))
			assert.Equal(t, want, cfg)
		})
	}
}

func TestAllFaultsAreReportedTogether(t *testing.T) {
	err := confmap.Validate(load(t, "invalid_config.yaml", ""))
	for _, fault := range []string{
		"send_batch_max_size must be greater than or equal to send_batch_size (100), or 0 for no limit, found 50",
		"send_batch_min_size must be less than or equal to send_batch_size (100), found 200",
		"timeout must not be negative, found -1s",
		"send_batch_max_bytes must not be negative, found -1",
		"max_waiting_bytes must not be negative, found -2",
		"max_concurrency must be greater than 0, found 0",
		"max_pending_bytes must be greater than 0, found 0",
		"max_wait must be greater than 0, found 0s",
		"shutdown_timeout must be greater than 0, found -1ns",
		`optimizations must be "all" or "none", found "some"`,
		`encode must be auto or false, found "true"`,
		`metadata_keys must be distinct (case-insensitive), found "tenant" twice`,
	} {
		assert.ErrorContains(t, err, fault)
	}
}

func TestContradictionsAreReported(t *testing.T) {
	require.ErrorContains(t, confmap.Validate(load(t, "invalid_config.yaml", "contradiction")), "adaptive must not be true with `optimizations: none`")
	require.ErrorContains(t, confmap.Validate(load(t, "invalid_config.yaml", "bytes")),
		"send_batch_max_bytes must be less than or equal to max_pending_bytes (1000), found 2000")
	require.NotContains(t, confmap.Validate(load(t, "invalid_config.yaml", "pending")).Error(), "send_batch_max_bytes", "it was not set")
	require.ErrorContains(t, confmap.Validate(load(t, "invalid_config.yaml", "trickle")),
		"timeout must be less than max_wait (30s) with `adaptive: false`, unless `wait_for_result: false`, found 30s")
}
