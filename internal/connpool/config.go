package connpool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Config is how a pool sizes itself and judges its connections.
type Config struct {
	// MinConnections is the number of connections per address that are kept even when idle. At least 1.
	MinConnections int `mapstructure:"min_connections"`
	// MaxConnections bounds the connections to all addresses together; each address keeps at least one.
	MaxConnections int `mapstructure:"max_connections"`
	// TargetInFlightPerConnection is the load above which the pool grows and below which it shrinks. At least 1.
	TargetInFlightPerConnection int `mapstructure:"target_in_flight_per_connection"`
	// IdleTimeout is how long connections beyond need are kept. 0 keeps them until the pool is closed.
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`
	// MaxConnectionAge is when a connection is replaced by a new one, spread by 10 % to avoid doing it for all at once. 0
	// means never.
	MaxConnectionAge time.Duration `mapstructure:"max_connection_age"`
	// HealthCheck asks each connection whether it still answers.
	HealthCheck HealthCheckConfig `mapstructure:"health_check"`
	// Ejection takes out connections on which calls fail.
	Ejection EjectionConfig `mapstructure:"ejection"`
}

// HealthCheckConfig is about grpc.health.v1 Check, called on each connection. The HTTP pool leaves it to its clients' maker.
type HealthCheckConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Interval is the time between checks of one connection.
	Interval time.Duration `mapstructure:"interval"`
	// Timeout is how long an answer may take.
	Timeout time.Duration `mapstructure:"timeout"`
	// Service is the name asked for; empty asks for the server as a whole.
	Service string `mapstructure:"service"`
}

// EjectionConfig says when a connection is taken out for failing calls.
type EjectionConfig struct {
	// ConsecutiveFailures is the number of calls that must fail in a row. 0 turns ejection off.
	ConsecutiveFailures int `mapstructure:"consecutive_failures"`
	// BaseTime is how long the connection that replaces a failing one is held back while others can do the work. It
	// doubles with each ejection in a row, up to ten times this.
	BaseTime time.Duration `mapstructure:"base_time"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		MinConnections:              1,
		MaxConnections:              50,
		TargetInFlightPerConnection: 4,
		IdleTimeout:                 5 * time.Minute,
		HealthCheck:                 HealthCheckConfig{Enabled: true, Interval: 10 * time.Second, Timeout: 2 * time.Second},
		Ejection:                    EjectionConfig{ConsecutiveFailures: 5, BaseTime: 30 * time.Second},
	}
}

// retireAt is when a connection made now is replaced for its age; zero is never.
func (c *Config) retireAt(now time.Time) time.Time {
	age := c.MaxConnectionAge
	if age == 0 {
		return time.Time{}
	}
	return now.Add(age - time.Duration(rand.Float64()*0.1*float64(age)))
}

// Validate reports every fault of the configuration.
func (c *Config) Validate() error {
	var errs []error
	if c.MinConnections < 1 {
		errs = append(errs, fmt.Errorf("`min_connections` must be at least 1, found %d", c.MinConnections))
	}
	if c.MaxConnections < c.MinConnections {
		errs = append(errs, fmt.Errorf("`max_connections` (%d) must be at least `min_connections` (%d)",
			c.MaxConnections, c.MinConnections))
	}
	if c.TargetInFlightPerConnection < 1 {
		errs = append(errs, fmt.Errorf("`target_in_flight_per_connection` must be at least 1, found %d",
			c.TargetInFlightPerConnection))
	}
	if c.IdleTimeout < 0 {
		errs = append(errs, fmt.Errorf("`idle_timeout` must not be negative, found %s", c.IdleTimeout))
	}
	if c.MaxConnectionAge < 0 {
		errs = append(errs, fmt.Errorf("`max_connection_age` must not be negative, found %s", c.MaxConnectionAge))
	}
	return errors.Join(errs...)
}

// Validate reports every fault of the section.
func (c *HealthCheckConfig) Validate() error {
	if !c.Enabled {
		return nil
	}
	var errs []error
	if c.Interval <= 0 {
		errs = append(errs, fmt.Errorf("`interval` must be positive, found %s", c.Interval))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("`timeout` must be positive, found %s", c.Timeout))
	}
	return errors.Join(errs...)
}

// Validate reports every fault of the section.
func (c *EjectionConfig) Validate() error {
	var errs []error
	if c.ConsecutiveFailures < 0 {
		errs = append(errs, fmt.Errorf("`consecutive_failures` must not be negative, found %d", c.ConsecutiveFailures))
	}
	if c.ConsecutiveFailures > 0 && c.BaseTime <= 0 {
		errs = append(errs, fmt.Errorf("`base_time` must be positive, found %s", c.BaseTime))
	}
	return errors.Join(errs...)
}
