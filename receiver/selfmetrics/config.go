package selfmetrics

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/scraper/scraperhelper"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
)

const (
	defaultInterval = 10 * time.Second
	defaultTimeout  = 5 * time.Second
	// defaultEndpoint is where the Collector serves its telemetry unless service::telemetry::metrics says otherwise.
	defaultEndpoint = "http://localhost:8888/metrics"
)

// Config is what users write under `selfmetrics:`.
type Config struct {
	// Controller has the keys collection_interval, initial_delay and timeout. The timeout is the deadline of each scrape: a
	// source that has not answered by then is left out of it.
	Controller scraperhelper.ControllerConfig `mapstructure:",squash"`
	// Metrics switches single metrics on and off.
	Metrics metadata.MetricsBuilderConfig `mapstructure:",squash"`
	// Telemetry is how to reach the Collector's own telemetry endpoint.
	Telemetry confighttp.ClientConfig `mapstructure:"telemetry"`
}

var _ confmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	controller := scraperhelper.NewDefaultControllerConfig()
	controller.CollectionInterval = defaultInterval
	controller.Timeout = defaultTimeout
	telemetry := confighttp.NewDefaultClientConfig()
	telemetry.Endpoint = defaultEndpoint
	return &Config{
		Controller: controller,
		Metrics:    metadata.NewDefaultMetricsBuilderConfig(),
		Telemetry:  telemetry,
	}
}

// Validate reports all faults together. The Collector validates the keys of Controller and Telemetry itself.
func (c *Config) Validate() error {
	return errors.Join(c.validateInterval(), c.validateTimeout(), c.validateEndpoint())
}

// minInterval is about what a scrape of two thousand series takes; a number without a unit is read as nanoseconds.
const minInterval = 10 * time.Millisecond

func (c *Config) validateInterval() error {
	if interval := c.Controller.CollectionInterval; interval > 0 && interval < minInterval {
		return fmt.Errorf("`collection_interval` must be at least %v, found %v", minInterval, interval)
	}
	return nil
}

func (c *Config) validateTimeout() error {
	if c.Controller.Timeout <= 0 {
		return fmt.Errorf("`timeout` must be positive, so that no source can hold up the others, found %v", c.Controller.Timeout)
	}
	return nil
}

func (c *Config) validateEndpoint() error {
	endpoint, err := url.Parse(c.Telemetry.Endpoint)
	if err != nil {
		return fmt.Errorf("`telemetry::endpoint` must be a URL: %w", err)
	}
	if endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" {
		return fmt.Errorf("`telemetry::endpoint` must be an http or https URL, such as %q, found %q", defaultEndpoint, c.Telemetry.Endpoint)
	}
	return nil
}
