package alertmanager

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/external"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/rules"
)

// Config is what users write under `alertmanager:`.
type Config struct {
	// HTTP is where the page and the APIs are served.
	HTTP confighttp.ServerConfig `mapstructure:"http"`
	// AllowedHosts are further names under which a loopback endpoint without an authenticator is served, besides loopback's own, HTTP's
	// endpoint and ExternalURL's host.
	AllowedHosts []string `mapstructure:"allowed_hosts"`
	// ExternalURL is how people reach the page, for the links in notifications. The default is HTTP's endpoint.
	ExternalURL string        `mapstructure:"external_url"`
	Storage     StorageConfig `mapstructure:"storage"`
	// EvaluationInterval is how often rules are evaluated whose group has no interval of its own.
	EvaluationInterval time.Duration `mapstructure:"evaluation_interval"`
	BuiltinRules       rules.Builtin `mapstructure:"builtin_rules"`
	Rules              []rules.Rule  `mapstructure:"rules"`
	// RuleFiles are patterns of standard Prometheus rule files.
	RuleFiles []string `mapstructure:"rule_files"`
	// Alertmanager is the standard Alertmanager configuration, ConfigFile a file with it.
	Alertmanager map[string]any `mapstructure:"alertmanager"`
	ConfigFile   string         `mapstructure:"config_file"`
	// NotificationTimeout bounds one attempt to notify; after it another follows, as after any failure.
	NotificationTimeout time.Duration    `mapstructure:"notification_timeout"`
	External            external.Config  `mapstructure:"external"`
	Cluster             delivery.Cluster `mapstructure:"cluster"`
}

// StorageConfig says where state is kept, and how much.
type StorageConfig struct {
	// Directory holds everything that survives a restart.
	Directory string `mapstructure:"directory"`
	// Retention is how far back rules can look.
	Retention time.Duration `mapstructure:"retention"`
	// MaxSeries bounds the series of incoming metrics.
	MaxSeries int `mapstructure:"max_series"`
	// IgnoreResourceAttributes do not become labels. The default is service.instance.id, which by default is another one after
	// each restart: alerts would not be the same ones.
	IgnoreResourceAttributes []string `mapstructure:"ignore_resource_attributes"`
	// MaxHistory bounds the resolved alerts that are kept.
	MaxHistory int `mapstructure:"max_history"`
}

var _ confmap.Validator = (*Config)(nil)

func createDefaultConfig() component.Config {
	server := confighttp.NewDefaultServerConfig()
	server.NetAddr.Endpoint = "127.0.0.1:9093"
	return &Config{
		HTTP: server,
		Storage: StorageConfig{
			Directory: "./data/alerts", Retention: 2 * time.Hour, MaxSeries: 20_000, MaxHistory: 10_000,
			IgnoreResourceAttributes: []string{"service.instance.id"},
		},
		EvaluationInterval:  15 * time.Second,
		BuiltinRules:        rules.Builtin{Enabled: true},
		NotificationTimeout: 30 * time.Second,
	}
}

// Validate implements confmap.Validator: it reports all faults together, those in rule files included.
func (c *Config) Validate() error {
	var errs []error
	if c.Storage.Directory == "" {
		errs = append(errs, errors.New("`storage::directory` must not be empty"))
	}
	if c.Storage.Retention < 10*time.Minute {
		errs = append(errs, fmt.Errorf("`storage::retention` must be at least 10m, found %s", c.Storage.Retention))
	}
	if c.Storage.MaxSeries < 1 {
		errs = append(errs, fmt.Errorf("`storage::max_series` must be at least 1, found %d", c.Storage.MaxSeries))
	}
	if c.Storage.MaxHistory < 1 {
		errs = append(errs, fmt.Errorf("`storage::max_history` must be at least 1, found %d", c.Storage.MaxHistory))
	}
	if c.EvaluationInterval < time.Second {
		errs = append(errs, fmt.Errorf("`evaluation_interval` must be at least 1s, found %s", c.EvaluationInterval))
	}
	if c.NotificationTimeout <= 0 {
		errs = append(errs, fmt.Errorf("`notification_timeout` must be more than 0s, found %s", c.NotificationTimeout))
	}
	if _, err := c.externalURL(); err != nil {
		errs = append(errs, err)
	}
	for i, host := range c.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/* ") {
			errs = append(errs, fmt.Errorf("`allowed_hosts::%d` must be a host name or an address, found %q", i, host))
		}
	}
	_, err := rules.Load(c.BuiltinRules, c.Rules, c.RuleFiles)
	errs = append(errs, err)
	_, err = delivery.Parse(c.Alertmanager, c.ConfigFile)
	errs = append(errs, err, c.External.Check())
	if c.Cluster.Listen == "" && len(c.Cluster.Peers) > 0 {
		errs = append(errs, errors.New("`cluster::peers` needs `cluster::listen`"))
	}
	return errors.Join(errs...)
}

func (c *Config) externalURL() (*url.URL, error) {
	if c.ExternalURL == "" {
		return &url.URL{Scheme: "http", Host: c.HTTP.NetAddr.Endpoint}, nil
	}
	u, err := url.Parse(c.ExternalURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("`external_url` must be an http or https URL, found %q", c.ExternalURL)
	}
	return u, nil
}
