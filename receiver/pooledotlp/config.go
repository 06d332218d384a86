package pooledotlp

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

// Config is the stock otlp receiver's, and one key more.
type Config struct {
	// Protocols are the servers to run: grpc, http or both. Keys, meaning and defaults are the stock receiver's.
	Protocols otlpreceiver.Protocols `mapstructure:"protocols"`

	// Decode says whether requests become pdata. auto, the default, decodes unless the bytepath converter has verified that
	// nothing behind this receiver looks into them. true decodes. false is refused where the converter is missing or finds
	// an obstacle.
	Decode DecodeMode `mapstructure:"decode"`

	// GRPCServer says what serves gRPC where requests stay bytes: auto, the default, the receiver's own server unless something is
	// configured that only grpc-go's has; grpc-go always that one.
	GRPCServer ServerMode `mapstructure:"grpc_server"`
}

// ServerMode says what serves gRPC.
type ServerMode string

// The modes.
const (
	ServerAuto   ServerMode = "auto"
	ServerGRPCGo ServerMode = "grpc-go"
)

// DecodeMode says whether requests become pdata.
type DecodeMode string

// The modes. DecodeVerified is what the bytepath converter writes in the place of auto and false.
const (
	DecodeAuto     DecodeMode = "auto"
	DecodeAlways   DecodeMode = "true"
	DecodeNever    DecodeMode = "false"
	DecodeVerified DecodeMode = "verified"
)

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
	switch cfg.Decode {
	case DecodeAuto, DecodeAlways, DecodeVerified:
	case DecodeNever:
		errs = append(errs, errors.New("`decode: false` must be verified by the bytepath converter, which this Collector was "+
			"built without: add it under `converters` to the builder's manifest, or set `decode: auto`"))
	default:
		errs = append(errs, fmt.Errorf("`decode` must be auto, true or false, found %q", cfg.Decode))
	}
	switch cfg.GRPCServer {
	case ServerAuto, ServerGRPCGo:
	default:
		errs = append(errs, fmt.Errorf("`grpc_server` must be auto or grpc-go, found %q", cfg.GRPCServer))
	}
	return errors.Join(errs...)
}

// encoded reports whether requests stay bytes.
func (cfg *Config) encoded() bool { return cfg.Decode == DecodeVerified }
