package adaptivebatch

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
)

// Config is the processor's configuration. It accepts every key of the stock batch processor.
type Config struct {
	// Timeout is the longest an item waits for its batch to be closed. 0: every call is sent at once.
	Timeout time.Duration `mapstructure:"timeout"`
	// SendBatchSize is the number of items at which the target starts; with `adaptive: false` it is the fixed trigger. 0:
	// every call is sent at once.
	SendBatchSize uint32 `mapstructure:"send_batch_size"`
	// SendBatchMinSize is the number of items below which the target does not go.
	SendBatchMinSize uint32 `mapstructure:"send_batch_min_size"`
	// SendBatchMaxSize is the number of items above which no batch is sent; larger calls are split. 0: no limit.
	SendBatchMaxSize uint32 `mapstructure:"send_batch_max_size"`
	// SendBatchMaxBytes limits a batch's encoded, uncompressed size. 0: no limit.
	SendBatchMaxBytes int64 `mapstructure:"send_batch_max_bytes"`
	// Adaptive lets the controller find size, linger and concurrency.
	Adaptive bool `mapstructure:"adaptive"`
	// Optimizations "none" makes the processor work as the stock one: a fixed size, no limit by bytes, and callers do not
	// wait for the result. Explicit keys count more, except that `adaptive: true` contradicts it.
	Optimizations Optimizations `mapstructure:"optimizations"`
	// Encode says what becomes of decoded calls. auto, the default, encodes them on arrival where the bytepath converter has verified that
	// nothing behind this processor looks into them. false leaves them as they are.
	Encode EncodeMode `mapstructure:"encode"`
	// MaxConcurrency is the number of exports above which none is started.
	MaxConcurrency int `mapstructure:"max_concurrency"`
	// MaxPendingBytes bounds what is buffered and in flight together.
	MaxPendingBytes int64 `mapstructure:"max_pending_bytes"`
	// MaxWaitingBytes bounds what callers hold at the door while there is no room.
	MaxWaitingBytes int64 `mapstructure:"max_waiting_bytes"`
	// BlockOnOverflow makes callers wait while there is no room; otherwise they are refused.
	BlockOnOverflow bool `mapstructure:"block_on_overflow"`
	// WaitForResult makes callers wait for the result of their own items.
	WaitForResult bool `mapstructure:"wait_for_result"`
	// MaxWait is the longest that a caller is held.
	MaxWait time.Duration `mapstructure:"max_wait"`
	// ShutdownTimeout is the longest that a shutdown takes to send what was admitted.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`
	// MetadataKeys are the client metadata keys (case-insensitive) whose combinations of values are batched apart.
	MetadataKeys []string `mapstructure:"metadata_keys"`
	// MetadataCardinalityLimit is the number of combinations above which calls with new ones are refused while none is
	// idle. 0: no limit.
	MetadataCardinalityLimit uint32 `mapstructure:"metadata_cardinality_limit"`
}

// Optimizations switches everything on or off that the stock processor does not do.
type Optimizations string

// The values of Optimizations.
const (
	OptimizationsAll  Optimizations = "all"
	OptimizationsNone Optimizations = "none"
)

// EncodeMode says what becomes of decoded calls.
type EncodeMode string

// The modes. EncodeVerified is what the bytepath converter writes in the place of auto.
const (
	EncodeAuto     EncodeMode = "auto"
	EncodeNever    EncodeMode = "false"
	EncodeVerified EncodeMode = "verified"
)

const (
	defaultBatchSize    = 100
	defaultMinBatchSize = 10
	defaultMaxBatchSize = 2000
	defaultMaxBytes     = 4 << 20
	defaultPendingBytes = 32 << 20
)

var _ confmap.Unmarshaler = (*Config)(nil)

func createDefaultConfig() component.Config {
	return &Config{
		Timeout:                  200 * time.Millisecond,
		SendBatchSize:            defaultBatchSize,
		SendBatchMinSize:         defaultMinBatchSize,
		SendBatchMaxSize:         defaultMaxBatchSize,
		SendBatchMaxBytes:        defaultMaxBytes,
		Adaptive:                 true,
		Optimizations:            OptimizationsAll,
		Encode:                   EncodeAuto,
		MaxConcurrency:           256,
		MaxPendingBytes:          defaultPendingBytes,
		MaxWaitingBytes:          defaultPendingBytes,
		BlockOnOverflow:          true,
		WaitForResult:            true,
		MaxWait:                  30 * time.Second,
		ShutdownTimeout:          10 * time.Second,
		MetadataCardinalityLimit: 1000,
	}
}

// Unmarshal lets defaults yield to explicit values, so that a stock configuration with few keys keeps its meaning. `encode` is a boolean or
// a word.
func (cfg *Config) Unmarshal(conf *confmap.Conf) error {
	if b, isBool := conf.Get("encode").(bool); isBool {
		if err := conf.Merge(confmap.NewFromStringMap(map[string]any{"encode": fmt.Sprint(b)})); err != nil {
			return err
		}
	}
	if err := conf.Unmarshal(cfg); err != nil {
		return err
	}
	isDefault := func(key string) bool { return !conf.IsSet(key) }
	if cfg.Optimizations == OptimizationsNone {
		if isDefault("adaptive") {
			cfg.Adaptive = false
		}
		if isDefault("send_batch_max_bytes") {
			cfg.SendBatchMaxBytes = 0
		}
		if isDefault("wait_for_result") {
			cfg.WaitForResult = false
		}
	}
	if isDefault("send_batch_size") && cfg.SendBatchMaxSize > 0 {
		cfg.SendBatchSize = min(cfg.SendBatchSize, cfg.SendBatchMaxSize)
	}
	if isDefault("send_batch_size") {
		cfg.SendBatchSize = max(cfg.SendBatchSize, cfg.explicitMin(isDefault))
	}
	if isDefault("send_batch_max_size") {
		cfg.SendBatchMaxSize = max(cfg.SendBatchMaxSize, cfg.SendBatchSize)
	}
	if isDefault("send_batch_min_size") {
		cfg.SendBatchMinSize = min(cfg.SendBatchMinSize, cfg.SendBatchSize)
	}
	if isDefault("send_batch_max_bytes") && cfg.MaxPendingBytes > 0 {
		cfg.SendBatchMaxBytes = min(cfg.SendBatchMaxBytes, cfg.MaxPendingBytes)
	}
	switch {
	case !cfg.outlastsCallers():
	case isDefault("max_wait"):
		cfg.MaxWait = 2 * cfg.Timeout
	case isDefault("timeout"):
		cfg.Timeout = cfg.MaxWait / 2
	}
	return nil
}

// outlastsCallers reports whether a fixed batch that does not fill is closed only after its callers were told to try again: what they
// sent has left it by then, and would never arrive.
func (cfg *Config) outlastsCallers() bool {
	return !cfg.Adaptive && cfg.WaitForResult && cfg.trigger() > 1 && cfg.MaxWait > 0 && cfg.Timeout >= cfg.MaxWait
}

// explicitMin returns send_batch_min_size if it was set: the default start of the target then follows it.
func (cfg *Config) explicitMin(isDefault func(string) bool) uint32 {
	if isDefault("send_batch_min_size") {
		return 0
	}
	return cfg.SendBatchMinSize
}

// encodes reports whether decoded calls are encoded on arrival.
func (cfg *Config) encodes() bool {
	return cfg.Encode == EncodeVerified && cfg.Optimizations == OptimizationsAll
}

// trigger returns the number of items at which a fixed batch leaves; 1 makes every call its own batch.
func (cfg *Config) trigger() int { return max(1, int(cfg.SendBatchSize)) }

// Validate reports all faults together.
func (cfg *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if cfg.SendBatchMaxSize > 0 && cfg.SendBatchMaxSize < cfg.SendBatchSize {
		fault("send_batch_max_size must be greater than or equal to send_batch_size (%d), or 0 for no limit, found %d",
			cfg.SendBatchSize, cfg.SendBatchMaxSize)
	}
	if cfg.SendBatchMinSize > cfg.SendBatchSize {
		fault("send_batch_min_size must be less than or equal to send_batch_size (%d), found %d", cfg.SendBatchSize, cfg.SendBatchMinSize)
	}
	notNegative := func(key string, value int64) {
		if value < 0 {
			fault("%s must not be negative, found %d", key, value)
		}
	}
	positive := func(key string, value int64, unit string) {
		if value <= 0 {
			fault("%s must be greater than 0, found %d%s", key, value, unit)
		}
	}
	if cfg.Timeout < 0 {
		fault("timeout must not be negative, found %s", cfg.Timeout)
	}
	notNegative("send_batch_max_bytes", cfg.SendBatchMaxBytes)
	notNegative("max_waiting_bytes", cfg.MaxWaitingBytes)
	positive("max_concurrency", int64(cfg.MaxConcurrency), "")
	positive("max_pending_bytes", cfg.MaxPendingBytes, "")
	if cfg.MaxWait <= 0 {
		fault("max_wait must be greater than 0, found %s", cfg.MaxWait)
	}
	if cfg.outlastsCallers() {
		fault("timeout must be less than max_wait (%s) with `adaptive: false`, unless `wait_for_result: false`, found %s", cfg.MaxWait, cfg.Timeout)
	}
	if cfg.ShutdownTimeout <= 0 {
		fault("shutdown_timeout must be greater than 0, found %s", cfg.ShutdownTimeout)
	}
	if cfg.MaxPendingBytes > 0 && cfg.SendBatchMaxBytes > cfg.MaxPendingBytes {
		fault("send_batch_max_bytes must be less than or equal to max_pending_bytes (%d), found %d", cfg.MaxPendingBytes, cfg.SendBatchMaxBytes)
	}
	switch cfg.Optimizations {
	case OptimizationsAll:
	case OptimizationsNone:
		if cfg.Adaptive {
			fault("adaptive must not be true with `optimizations: none`")
		}
	default:
		fault("optimizations must be %q or %q, found %q", OptimizationsAll, OptimizationsNone, cfg.Optimizations)
	}
	switch {
	case cfg.Encode == EncodeAuto, cfg.Encode == EncodeNever:
	case cfg.Encode == EncodeVerified && bytepath.HasConverter():
	case cfg.Encode == EncodeVerified:
		fault("encode must be auto or false, found %q, which only the bytepath converter may write; this Collector was built without it",
			cfg.Encode)
	default:
		fault("encode must be auto or false, found %q", cfg.Encode)
	}
	faults = append(faults, duplicateKeys(cfg.MetadataKeys)...)
	return errors.Join(faults...)
}

func duplicateKeys(keys []string) []error {
	var faults []error
	seen := map[string]bool{}
	for _, key := range keys {
		lower := strings.ToLower(key)
		if seen[lower] {
			faults = append(faults, fmt.Errorf("metadata_keys must be distinct (case-insensitive), found %q twice", lower))
		}
		seen[lower] = true
	}
	return faults
}
