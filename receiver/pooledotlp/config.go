package pooledotlp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// Config is the stock otlp receiver's, and a few keys more.
type Config struct {
	// Protocols are the servers to run: grpc, http or both. Keys, meaning and defaults are the stock receiver's.
	Protocols otlpreceiver.Protocols `mapstructure:"protocols"`

	// Decode says whether requests become pdata. auto, the default, decodes those of each signal unless the bytepath converter has
	// verified that nothing behind this receiver looks into them. true decodes. false is refused where the converter is missing or
	// finds an obstacle for any signal.
	Decode DecodeMode `mapstructure:"decode"`

	// GRPCServer says what serves gRPC where requests stay bytes: auto, the default, the receiver's own server unless something is
	// configured that only grpc-go's has; grpc-go always that one.
	GRPCServer ServerMode `mapstructure:"grpc_server"`

	// HTTPServer says the same of HTTP: auto, the default, or net-http.
	HTTPServer ServerMode `mapstructure:"http_server"`

	// MaxReadingBytes bounds the bytes of all requests together that have begun to arrive and are not in the pipeline. Requests beyond it are
	// refused, and may be sent again. 0: no bound. grpc-go's server does not know of it.
	MaxReadingBytes int64 `mapstructure:"max_reading_bytes"`
}

// defaultReadingBytes is as much as adaptivebatch holds by default, admitted and waiting.
const defaultReadingBytes = 64 << 20

// ServerMode says what serves a protocol.
type ServerMode string

// The modes.
const (
	ServerAuto    ServerMode = "auto"
	ServerGRPCGo  ServerMode = "grpc-go"
	ServerNetHTTP ServerMode = "net-http"
)

// DecodeMode says whether requests become pdata.
type DecodeMode string

// The modes. DecodeVerified is what the bytepath converter writes in the place of auto and false; where it holds for some signals only,
// they follow, as in "verified:traces,logs".
const (
	DecodeAuto     DecodeMode = "auto"
	DecodeAlways   DecodeMode = "true"
	DecodeNever    DecodeMode = "false"
	DecodeVerified DecodeMode = "verified"
)

// verifiedSignals returns the signals that a mode says to be verified.
func (m DecodeMode) verifiedSignals() []string {
	word, some, partly := strings.Cut(string(m), ":")
	switch {
	case DecodeMode(word) != DecodeVerified:
		return nil
	case partly:
		return strings.Split(some, ",")
	default:
		return []string{wire.Traces.String(), wire.Metrics.String(), wire.Logs.String()}
	}
}

var (
	_ component.Config    = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
)

// Unmarshal implements confmap.Unmarshaler: `decode` is a boolean or a word.
func (cfg *Config) Unmarshal(conf *confmap.Conf) error {
	if b, isBool := conf.Get("decode").(bool); isBool {
		word := map[string]any{"decode": fmt.Sprint(b)}
		if err := conf.Merge(confmap.NewFromStringMap(word)); err != nil {
			return err
		}
	}
	return conf.Unmarshal(cfg)
}

// Validate reports all faults of the receiver's own keys together; the protocols validate themselves.
func (cfg *Config) Validate() error {
	var errs []error
	if !cfg.Protocols.GRPC.HasValue() && !cfg.Protocols.HTTP.HasValue() {
		errs = append(errs, errors.New("`protocols` must name at least one of grpc and http"))
	}
	switch verified := cfg.Decode.verifiedSignals() != nil; {
	case cfg.Decode == DecodeAuto, cfg.Decode == DecodeAlways:
	case verified && bytepath.HasConverter():
	case verified:
		errs = append(errs, fmt.Errorf("`decode` must be auto, true or false, found %q, which only the bytepath converter may write; "+
			"this Collector was built without it", cfg.Decode))
	case cfg.Decode == DecodeNever:
		errs = append(errs, errors.New("`decode: false` must be verified by the bytepath converter, which this Collector was "+
			"built without: add it under `converters` to the builder's manifest, or set `decode: auto`"))
	default:
		errs = append(errs, fmt.Errorf("`decode` must be auto, true or false, found %q", cfg.Decode))
	}
	if cfg.GRPCServer != ServerAuto && cfg.GRPCServer != ServerGRPCGo {
		errs = append(errs, fmt.Errorf("`grpc_server` must be auto or grpc-go, found %q", cfg.GRPCServer))
	}
	if cfg.MaxReadingBytes < 0 {
		errs = append(errs, fmt.Errorf("`max_reading_bytes` must be 0 (no bound) or more, found %d", cfg.MaxReadingBytes))
	}
	if cfg.HTTPServer != ServerAuto && cfg.HTTPServer != ServerNetHTTP {
		errs = append(errs, fmt.Errorf("`http_server` must be auto or net-http, found %q", cfg.HTTPServer))
	}
	return errors.Join(errs...)
}

// encoded reports whether requests of a signal stay bytes.
func (cfg *Config) encoded(signal wire.Signal) bool {
	return slices.Contains(cfg.Decode.verifiedSignals(), signal.String())
}
