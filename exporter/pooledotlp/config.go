package pooledotlp

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/compression"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
)

// Protocol is an OTLP transport, as OTEL_EXPORTER_OTLP_PROTOCOL names them.
type Protocol string

// The protocols.
const (
	ProtocolGRPC         Protocol = "grpc"
	ProtocolHTTPProtobuf Protocol = "http/protobuf"
	ProtocolHTTPJSON     Protocol = "http/json"
)

// Optimizations switches everything on or off that this exporter does beyond the stock one.
type Optimizations string

// The positions of the switch.
const (
	OptimizationsAll  Optimizations = "all"
	OptimizationsNone Optimizations = "none"
)

// Config is the configuration of the exporter. The protocol decides which client keys it has: see Unmarshal.
type Config struct {
	// Protocol is the transport; grpc by default.
	Protocol Protocol `mapstructure:"protocol"`

	// TimeoutConfig is the time each attempt to send may take.
	TimeoutConfig exporterhelper.TimeoutConfig                             `mapstructure:",squash"`
	QueueConfig   configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	RetryConfig   configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	// RetryResourceExhausted makes a gRPC RESOURCE_EXHAUSTED without RetryInfo retryable. The specification lets a client
	// give up on it; most backends and proxies mean "slow down".
	RetryResourceExhausted bool `mapstructure:"retry_resource_exhausted"`

	// Compression is the algorithm; empty means none.
	Compression       compression.Algorithm `mapstructure:"compression"`
	CompressionParams CompressionParams     `mapstructure:"compression_params"`
	// CompressionMinSize is the encoded size in bytes under which a request is sent uncompressed. 0 compresses all.
	CompressionMinSize int `mapstructure:"compression_min_size"`

	Optimizations Optimizations   `mapstructure:"optimizations"`
	Pool          connpool.Config `mapstructure:"pool"`
	Buffers       BuffersConfig   `mapstructure:"buffers"`

	// GRPC are the client's keys with protocol grpc. They stand at the top level of the configuration. Its Compression is
	// not used, and a BalancerName other than the default switches the pool off.
	GRPC configgrpc.ClientConfig `mapstructure:"grpc"`
	// HTTP are the client's keys with the HTTP protocols, at the top level too. The timeout and compression of its
	// ClientConfig are not used.
	HTTP HTTPClientConfig `mapstructure:"http"`
}

// HTTPClientConfig are the keys of the stock otlphttp exporter.
type HTTPClientConfig struct {
	ClientConfig confighttp.ClientConfig `mapstructure:",squash"`

	// The URL for a signal; empty is Endpoint with the signal's path, for example /v1/traces.
	TracesEndpoint   string `mapstructure:"traces_endpoint"`
	MetricsEndpoint  string `mapstructure:"metrics_endpoint"`
	LogsEndpoint     string `mapstructure:"logs_endpoint"`
	ProfilesEndpoint string `mapstructure:"profiles_endpoint"`

	// Encoding is proto or json. The protocol says the same, so it is only accepted when the two agree.
	Encoding string `mapstructure:"encoding"`
}

// CompressionParams refines the compression.
type CompressionParams struct {
	// Level is 1 to 9, or what else the algorithm has; 0 is the algorithm's default.
	Level int `mapstructure:"level"`
}

// BuffersConfig bounds the buffers kept for reuse.
type BuffersConfig struct {
	// MaxIdleBytes bounds the capacity of the buffers that wait for reuse.
	MaxIdleBytes int64 `mapstructure:"max_idle_bytes"`
	// TTL is how long a buffer may wait. 0 is without end.
	TTL time.Duration `mapstructure:"ttl"`
}

var _ component.Config = (*Config)(nil)

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	errs := []error{c.validateProtocol()}
	if err := c.validateCompression(); err != nil {
		errs = append(errs, fmt.Errorf("`compression`, `compression_params::level`: %w", err))
	}
	if c.CompressionMinSize < 0 {
		errs = append(errs, fmt.Errorf("`compression_min_size` must not be negative, found %d", c.CompressionMinSize))
	}
	if c.Optimizations != OptimizationsAll && c.Optimizations != OptimizationsNone {
		errs = append(errs, fmt.Errorf("`optimizations` must be all or none, found %q", c.Optimizations))
	}
	return errors.Join(errs...)
}

func (c *Config) validateProtocol() error {
	switch c.Protocol {
	case ProtocolGRPC:
		if grpcHostPort(c.GRPC.Endpoint) == "" {
			return errors.New("`endpoint` must not be empty: give the backend's host:port")
		}
	case ProtocolHTTPProtobuf, ProtocolHTTPJSON:
		h := &c.HTTP
		if h.ClientConfig.Endpoint == "" && h.TracesEndpoint == "" && h.MetricsEndpoint == "" && h.LogsEndpoint == "" && h.ProfilesEndpoint == "" {
			return errors.New("at least one of `endpoint`, `traces_endpoint`, `metrics_endpoint`, `logs_endpoint` and `profiles_endpoint` must be set")
		}
		if err := h.validateURLs(); err != nil {
			return err
		}
		if want := encodings[c.Protocol]; h.Encoding != "" && h.Encoding != want {
			return fmt.Errorf("`encoding` must be %s with `protocol: %s`, found %q: remove `encoding` and choose by `protocol`",
				want, c.Protocol, h.Encoding)
		}
	default:
		return unknownProtocol(c.Protocol)
	}
	return nil
}

// validateURLs finds what would make every request fail: host:port, which grpc has here, is no URL, or one with the host as its scheme.
func (c *HTTPClientConfig) validateURLs() error {
	var errs []error
	for _, u := range []struct{ key, value string }{
		{"endpoint", c.ClientConfig.Endpoint}, {"traces_endpoint", c.TracesEndpoint}, {"metrics_endpoint", c.MetricsEndpoint},
		{"logs_endpoint", c.LogsEndpoint}, {"profiles_endpoint", c.ProfilesEndpoint},
	} {
		if u.value == "" {
			continue
		}
		if _, err := parseURL(u.key, u.value); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// parseURL reads the URL of a key. Its errors leave the URL out, which may have a password in it.
func parseURL(key, value string) (*url.URL, error) {
	const rule = "`%s` must be a URL that begins with http:// or https://"
	parsed, err := url.Parse(value)
	if whole := (*url.Error)(nil); errors.As(err, &whole) {
		err = whole.Err
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf(rule+": %w", key, err)
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return nil, fmt.Errorf(rule+", found the scheme %q", key, parsed.Scheme)
	case parsed.Host == "":
		return nil, fmt.Errorf(rule+" and a host, found none", key)
	}
	return parsed, nil
}

var encodings = map[Protocol]string{ProtocolHTTPProtobuf: "proto", ProtocolHTTPJSON: "json"}

// stockHTTPCompressions are those that the stock HTTP client has beyond ours: it does them here too.
var stockHTTPCompressions = []compression.Algorithm{"zlib", "deflate", "x-snappy-framed", "lz4"}

func (c *Config) validateCompression() error {
	http := c.Protocol != ProtocolGRPC
	if http && (slices.Contains(stockHTTPCompressions, c.Compression) || c.Optimizations == OptimizationsNone) {
		stock := configcompression.Type(c.Compression)
		if err := stock.UnmarshalText([]byte(c.Compression)); err != nil {
			return fmt.Errorf("%w with `optimizations: none`", err)
		}
		return stock.ValidateParams(configcompression.CompressionParams{Level: configcompression.Level(c.CompressionParams.Level)})
	}
	if !http && c.Optimizations == OptimizationsNone && (c.Compression == compression.Brotli || c.CompressionParams.Level != 0) {
		return errors.New("`optimizations: none` has the stock compression, which over gRPC knows neither brotli nor levels: " +
			"remove them or set `optimizations: all`")
	}
	return compression.Validate(c.Compression, c.CompressionParams.Level)
}

// algorithm is how the configured compression is called where it is done: over HTTP, snappy means blocks without frames.
func (c *Config) algorithm() compression.Algorithm {
	if c.Protocol != ProtocolGRPC && c.Compression == compression.Snappy {
		return compression.SnappyBlock
	}
	return c.Compression
}

// ownCompression reports whether this exporter compresses, and not the stock client or nobody.
func (c *Config) ownCompression() bool {
	return c.Optimizations == OptimizationsAll && c.Compression != compression.None && c.Compression != "" &&
		!(c.Protocol != ProtocolGRPC && slices.Contains(stockHTTPCompressions, c.Compression))
}

// Validate reports every fault of the section.
func (c *BuffersConfig) Validate() error {
	var errs []error
	if c.MaxIdleBytes < 0 {
		errs = append(errs, fmt.Errorf("`max_idle_bytes` must not be negative, found %d", c.MaxIdleBytes))
	}
	if c.TTL < 0 {
		errs = append(errs, fmt.Errorf("`ttl` must not be negative, found %s", c.TTL))
	}
	return errors.Join(errs...)
}

func unknownProtocol(p Protocol) error {
	return fmt.Errorf("`protocol` must be %s, %s or %s, found %q", ProtocolGRPC, ProtocolHTTPProtobuf, ProtocolHTTPJSON, p)
}

var dnsScheme = regexp.MustCompile(`^dns:///?`)

// grpcHostPort strips the schemes that a gRPC endpoint may have, as the stock exporter does.
func grpcHostPort(endpoint string) string {
	endpoint = strings.TrimPrefix(endpoint, "http://")
	endpoint = strings.TrimPrefix(endpoint, "https://")
	return dnsScheme.ReplaceAllString(endpoint, "")
}

// pooled reports whether the connection pool is on.
func (c *Config) pooled() bool {
	return c.Optimizations == OptimizationsAll && c.GRPC.BalancerName == connpool.Name
}

// persistent reports whether the queue is on disk.
func (c *Config) persistent() bool {
	return c.QueueConfig.HasValue() && c.QueueConfig.Get().StorageID != nil
}
