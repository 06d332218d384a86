package pooledotlp

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/compression"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
)

func loadConfig(t *testing.T, name string) *Config {
	t.Helper()
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := file.Sub(name)
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, sub.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	return cfg
}

func TestEveryStockKeyHasItsStockMeaning(t *testing.T) {
	cfg := loadConfig(t, "stock")

	client := configgrpc.NewDefaultClientConfig()
	client.Endpoint = "1.2.3.4:1234"
	client.TLS.CAFile = "/var/lib/mycert.pem"
	client.WriteBufferSize = 512 * 1024
	client.Headers = configopaque.MapList{
		{Name: "another", Value: "somevalue"},
		{Name: "can you have a . here?", Value: "F0000000-0000-0000-0000-000000000000"},
		{Name: "header1", Value: "234"},
	}
	keepalive := configgrpc.NewDefaultKeepaliveClientConfig()
	keepalive.Time, keepalive.Timeout, keepalive.PermitWithoutStream = 20*time.Second, 30*time.Second, true
	client.Keepalive = configoptional.Some(keepalive)
	client.BalancerName = "round_robin"
	client.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("nop")})
	assert.Equal(t, client, cfg.GRPC)

	assert.Equal(t, compression.Gzip, cfg.Compression)
	assert.Equal(t, exporterhelper.TimeoutConfig{Timeout: 10 * time.Second}, cfg.TimeoutConfig)
	assert.Equal(t, configretry.BackOffConfig{
		Enabled: true, InitialInterval: 10 * time.Second, RandomizationFactor: 0.7, Multiplier: 1.3,
		MaxInterval: time.Minute, MaxElapsedTime: 10 * time.Minute,
	}, cfg.RetryConfig)
	queue := cfg.QueueConfig.Get()
	assert.Equal(t, exporterhelper.RequestSizerTypeItems, queue.Sizer)
	assert.EqualValues(t, 100000, queue.QueueSize)
	assert.Equal(t, 2, queue.NumConsumers)
	assert.Equal(t, exporterhelper.RequestSizerTypeItems, queue.Batch.Get().Sizer)
	assert.EqualValues(t, 10000, queue.Batch.Get().MaxSize)
	assert.False(t, cfg.pooled(), "a balancer that was asked for is used instead of the pool")
}

func TestEveryStockHTTPKeyHasItsStockMeaning(t *testing.T) {
	cfg := loadConfig(t, "stock_http")

	client := confighttp.NewDefaultClientConfig()
	client.Endpoint = "https://1.2.3.4:1234"
	client.TLS.CAFile, client.TLS.CertFile, client.TLS.KeyFile, client.TLS.Insecure = "/var/lib/mycert.pem", "certfile", "keyfile", true
	client.ReadBufferSize, client.WriteBufferSize = 123, 345
	client.Headers = configopaque.MapList{
		{Name: "another", Value: "somevalue"},
		{Name: "can you have a . here?", Value: "F0000000-0000-0000-0000-000000000000"},
		{Name: "header1", Value: "234"},
	}
	assert.Equal(t, HTTPClientConfig{
		ClientConfig: client, ProfilesEndpoint: "https://custom.profiles.endpoint:8080/v1development/profiles",
	}, cfg.HTTP)
	assert.Equal(t, compression.Gzip, cfg.Compression)
	assert.Equal(t, 10*time.Second, cfg.TimeoutConfig.Timeout)
	assert.Equal(t, 2, cfg.QueueConfig.Get().NumConsumers)
	assert.Equal(t, 10*time.Minute, cfg.RetryConfig.MaxElapsedTime)

	more := loadConfig(t, "http_more").HTTP
	assert.Equal(t, "http://a:1/m", more.MetricsEndpoint)
	//nolint:staticcheck // the deprecated key still works upstream
	assert.Equal(t, 7, more.ClientConfig.MaxIdleConnsPerHost, "the client's own Unmarshal has run")
}

func TestDefaultsAreTheStockOnes(t *testing.T) {
	ours := createDefaultConfig().(*Config)
	stock := otlpexporter.NewFactory().CreateDefaultConfig().(*otlpexporter.Config)

	assert.Equal(t, stock.QueueConfig, ours.QueueConfig)
	assert.Equal(t, stock.RetryConfig, ours.RetryConfig)
	assert.EqualValues(t, stock.ClientConfig.Compression, ours.Compression)

	// The differences: the README lists them.
	assert.Equal(t, 30*time.Second, ours.TimeoutConfig.Timeout)
	ours.GRPC.BalancerName = stock.ClientConfig.BalancerName
	ours.GRPC.Compression = stock.ClientConfig.Compression
	assert.Equal(t, stock.ClientConfig, ours.GRPC)

	stockHTTP := otlphttpexporter.NewFactory().CreateDefaultConfig().(*otlphttpexporter.Config)
	assert.Equal(t, stockHTTP.ClientConfig.Timeout, ours.TimeoutConfig.Timeout)
	assert.EqualValues(t, stockHTTP.ClientConfig.Compression, ours.Compression)
	ours.HTTP.ClientConfig.Timeout, ours.HTTP.ClientConfig.Compression = stockHTTP.ClientConfig.Timeout, stockHTTP.ClientConfig.Compression
	assert.Equal(t, stockHTTP.ClientConfig, ours.HTTP.ClientConfig)
}

func TestEveryKeyOfOurs(t *testing.T) {
	cfg := loadConfig(t, "ours")

	want := createDefaultConfig().(*Config)
	want.GRPC.Endpoint = "backend:4317"
	want.TimeoutConfig.Timeout = 20 * time.Second
	want.RetryResourceExhausted = false
	want.Compression = compression.Zstd
	want.CompressionParams.Level = 6
	want.CompressionMinSize = 2048
	want.Pool = connpool.Config{
		MinConnections: 2, MaxConnections: 20, TargetInFlightPerConnection: 8, IdleTimeout: time.Minute, MaxConnectionAge: time.Hour,
		HealthCheck: connpool.HealthCheckConfig{Enabled: true, Interval: 5 * time.Second, Timeout: time.Second, Service: "otlp"},
		Ejection:    connpool.EjectionConfig{ConsecutiveFailures: 3, BaseTime: 10 * time.Second},
	}
	want.Buffers = BuffersConfig{MaxIdleBytes: 1 << 20, TTL: 10 * time.Second}
	assert.Equal(t, want, cfg)
	assert.True(t, cfg.pooled())
}

func TestWhatIsOnDiskIsRetriedWithoutEndUnlessAskedOtherwise(t *testing.T) {
	assert.Zero(t, loadConfig(t, "persistent").RetryConfig.MaxElapsedTime)
	assert.Equal(t, time.Minute, loadConfig(t, "persistent_with_limit").RetryConfig.MaxElapsedTime)
}

func TestEveryFaultOfAConfigurationIsReported(t *testing.T) {
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "invalid_config.yaml"))
	require.NoError(t, err)
	for name := range file.ToStringMap() {
		t.Run(name, func(t *testing.T) {
			row, err := file.Sub(name)
			require.NoError(t, err)
			keys, err := row.Sub("keys")
			require.NoError(t, err)
			cfg := createDefaultConfig().(*Config)
			if err = keys.Unmarshal(cfg); err == nil {
				err = confmap.Validate(cfg)
			}
			for _, want := range row.Get("errors").([]any) {
				assert.ErrorContains(t, err, want.(string))
			}
		})
	}
}

func TestAConfigurationSurvivesMarshalling(t *testing.T) {
	for _, name := range []string{"stock", "ours", "persistent", "stock_http"} {
		cfg := loadConfig(t, name)
		out := confmap.New()
		require.NoError(t, out.Marshal(cfg))
		assert.True(t, out.IsSet("endpoint"), "the client's keys stand at the top level")

		again := createDefaultConfig().(*Config)
		require.NoError(t, out.Unmarshal(again))
		// Secrets are masked on the way out, and the helper's queue does not survive its own marshalling.
		again.GRPC.Headers, again.QueueConfig = cfg.GRPC.Headers, cfg.QueueConfig
		assert.Equal(t, cfg.HTTP.ClientConfig.Endpoint, again.HTTP.ClientConfig.Endpoint)
		again.HTTP = cfg.HTTP // it notes the use of deprecated keys, which it writes itself
		assert.Equal(t, cfg, again)
	}
}

func TestEndpointsMayHaveTheSchemesOfTheStockExporter(t *testing.T) {
	for _, endpoint := range []string{
		"example.com:443", "http://example.com:443", "https://example.com:443", "dns:///example.com:443", "dns://example.com:443",
	} {
		assert.Equal(t, "example.com:443", grpcHostPort(endpoint), endpoint)
	}
}
