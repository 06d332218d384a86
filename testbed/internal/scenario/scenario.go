// Package scenario reads what a run does from YAML, and says what is wrong with it before anything starts.
package scenario

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/generator"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/netproxy"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/sink"
)

// Scenario is one file in the folder of scenarios, whose README.md describes each key for those who write one.
type Scenario struct {
	// Name is the file's name without its extension.
	Name        string   `yaml:"-"`
	Description string   `yaml:"description"`
	Suites      []string `yaml:"suites"`
	// Contenders are what is compared, in interleaved rounds; the first is the one that ratios are taken against.
	Contenders []string `yaml:"contenders"`
	Rounds     int      `yaml:"rounds"`

	Signal            payload.Signal   `yaml:"signal"`
	Protocol          string           `yaml:"protocol"`
	ItemsPerRequest   int              `yaml:"items_per_request"`
	ClientCompression otlp.Compression `yaml:"client_compression"`
	// Compression is what the Collector sends with.
	Compression otlp.Compression `yaml:"compression"`
	Matrix      Matrix           `yaml:"matrix"`

	Load generator.Load `yaml:"load"`
	// Drain is how long the run waits, after the load, for what was acknowledged and has not arrived.
	Drain time.Duration `yaml:"drain"`
	Seed  uint64        `yaml:"seed"`

	Backend     []sink.Phase     `yaml:"backend"`
	Network     []netproxy.Phase `yaml:"network"`
	PoisonEvery uint64           `yaml:"poison_every"`
	MaxStreams  uint32           `yaml:"max_streams"`
	Events      []Event          `yaml:"events"`
	// Kills ends the Collector this often with SIGKILL and starts it again, at moments that Seed decides: every other one within a
	// second of the start, ready or not. Needs a second of load for each.
	Kills int `yaml:"kills"`
	// DiskMiB gives the persistent queue a disk of its own of this size. 0: a folder.
	DiskMiB int `yaml:"disk_mib"`
	// Nested gives requests more that must be kept: see payload.NewNestedSet.
	Nested bool `yaml:"nested"`
	// CheckContent has every item decoded and compared with what was sent.
	CheckContent bool `yaml:"check_content"`
	// Pin gives the Collector one processor and everything else another one.
	Pin bool `yaml:"pin"`
	// Env is added to the Collector's environment.
	Env map[string]string `yaml:"env"`

	Limits Limits `yaml:"limits"`
}

// Matrix makes one case of every combination. An empty list leaves the scenario's own value.
type Matrix struct {
	Signals            []payload.Signal   `yaml:"signals"`
	Protocols          []string           `yaml:"protocols"`
	ItemsPerRequest    []int              `yaml:"items_per_request"`
	Clients            []int              `yaml:"clients"`
	Compressions       []otlp.Compression `yaml:"compressions"`
	ClientCompressions []otlp.Compression `yaml:"client_compressions"`
}

// Actions of an event.
const (
	Kill    = "kill"    // SIGKILL, then a new start
	Restart = "restart" // SIGTERM, the end, then a new start
	Reload  = "reload"  // SIGHUP
)

// Event happens to the Collector during the load.
type Event struct {
	At     time.Duration `yaml:"at"`
	Action string        `yaml:"action"`
}

// Limits are what a run of ours must keep. Whatever they say, nothing acknowledged may be lost, corrupted, or appear from nowhere.
type Limits struct {
	// LossAllowed lifts the ban on losing acknowledged items, for a scenario that shows what a configuration costs.
	LossAllowed bool `yaml:"loss_allowed"`
	// Duplicates is the share of items that may arrive more than once.
	Duplicates *float64 `yaml:"duplicates"`
	// AnonymousMiB and RSSMiB bound the peak memory.
	AnonymousMiB float64 `yaml:"anonymous_mib"`
	RSSMiB       float64 `yaml:"rss_mib"`
	// MemoryGrowth bounds the mean anonymous memory of the last quarter as a share of the second quarter's: what a leak moves.
	MemoryGrowth float64 `yaml:"memory_growth"`
	// CPUCores bounds the mean use of processors.
	CPUCores float64       `yaml:"cpu_cores"`
	P99      time.Duration `yaml:"p99"`
	// Throughput is the least number of items per second, AcknowledgedRatio the least share of what was sent.
	Throughput        float64 `yaml:"throughput"`
	AcknowledgedRatio float64 `yaml:"acknowledged_ratio"`
	// CPURatio and MemoryRatio bound CPU per item and peak anonymous memory, as shares of the first contender's.
	CPURatio    float64 `yaml:"cpu_ratio"`
	MemoryRatio float64 `yaml:"memory_ratio"`
	// DriverRatio bounds the CPU of generator and backend together per item, as a share of what the first contender spends: a driver
	// that costs more takes the processors away from what it measures.
	DriverRatio float64 `yaml:"driver_ratio"`
}

func (l *Limits) validate() error {
	var errs []error
	for key, value := range map[string]float64{
		"anonymous_mib": l.AnonymousMiB, "rss_mib": l.RSSMiB, "memory_growth": l.MemoryGrowth, "cpu_cores": l.CPUCores, "p99": l.P99.Seconds(), "throughput": l.Throughput,
		"acknowledged_ratio": l.AcknowledgedRatio, "cpu_ratio": l.CPURatio, "memory_ratio": l.MemoryRatio, "driver_ratio": l.DriverRatio,
	} {
		if !(value >= 0) { // which is so for NaN too
			errs = append(errs, fmt.Errorf("`limits.%s` must not be negative, found %v", key, value))
		}
	}
	if l.AcknowledgedRatio > 1 {
		errs = append(errs, fmt.Errorf("`limits.acknowledged_ratio` must be at most 1, found %v", l.AcknowledgedRatio))
	}
	if d := l.Duplicates; d != nil && !(*d >= 0) {
		errs = append(errs, fmt.Errorf("`limits.duplicates` must not be negative, found %v", *d))
	}
	return errors.Join(errs...)
}

// Default is what a scenario's file changes.
func Default() Scenario {
	return Scenario{
		Contenders: []string{"stock-batch", "ours"}, Rounds: 1,
		Signal: payload.Traces, Protocol: generator.GRPC, ItemsPerRequest: 100, ClientCompression: otlp.None, Compression: otlp.None,
		Load: generator.Load{
			Mode: generator.Closed, Clients: 64, Connections: 4, Warmup: time.Second, Duration: 5 * time.Second, Timeout: 10 * time.Second,
			Retry: generator.Retry{Initial: 50 * time.Millisecond, Max: 2 * time.Second, MaxElapsed: time.Minute},
		},
		Drain: 10 * time.Second, Seed: 1,
	}
}

// Validate reports everything that is wrong with the scenario.
func (s *Scenario) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Description == "" {
		bad("`description` must say what the scenario shows")
	}
	if len(s.Suites) == 0 {
		bad("`suites` must name at least one suite")
	}
	if len(s.Contenders) == 0 {
		bad("`contenders` must name at least one")
	}
	if s.Rounds < 1 || s.Rounds > 100 {
		bad("`rounds` must be between 1 and 100, found %d", s.Rounds)
	}
	if s.Drain < 0 {
		bad("`drain` must not be negative, found %s", s.Drain)
	}
	if s.DiskMiB < 0 {
		bad("`disk_mib` must not be negative, found %d", s.DiskMiB)
	}
	switch {
	case s.Kills < 0:
		bad("`kills` must not be negative, found %d", s.Kills)
	case s.Load.Duration < time.Duration(s.Kills)*time.Second:
		bad("`load.duration` must be at least a second for each of the `kills`, found %s for %d", s.Load.Duration, s.Kills)
	case s.Kills > 0 && len(s.Events) > 0:
		bad("`kills` and `events` exclude each other")
	}
	for i, event := range s.Events {
		if !slices.Contains([]string{Kill, Restart, Reload}, event.Action) {
			bad("`events[%d].action` must be %s, %s or %s, found %q", i, Kill, Restart, Reload, event.Action)
		}
		if event.At < 0 || event.At >= s.Load.Duration {
			bad("`events[%d].at` must be within `load.duration` (%s), found %s", i, s.Load.Duration, event.At)
		}
	}
	phase := func(key string, i int, at time.Duration, err error) {
		errs = append(errs, within(fmt.Sprintf("`%s[%d]`", key, i), err)...)
		if at > 0 && at >= s.Load.Duration {
			bad("`%s[%d].at` must be within `load.duration` (%s), found %s", key, i, s.Load.Duration, at)
		}
	}
	for i := range s.Backend {
		phase("backend", i, s.Backend[i].At, s.Backend[i].Validate())
	}
	for i := range s.Network {
		phase("network", i, s.Network[i].At, s.Network[i].Validate())
	}
	errs = append(errs, s.Limits.validate())
	for i := range s.cases() {
		errs = append(errs, s.cases()[i].validateCase())
	}
	return errors.Join(unique(errs)...)
}

// validateCase checks what the matrix can change.
func (s *Scenario) validateCase() error {
	var errs []error
	if s.Protocol != generator.GRPC && s.Protocol != generator.HTTP {
		errs = append(errs, fmt.Errorf("`protocol` must be %s or %s, found %q", generator.GRPC, generator.HTTP, s.Protocol))
	}
	if s.ItemsPerRequest < 1 || s.ItemsPerRequest > payload.MaxItemsPerRequest {
		errs = append(errs, fmt.Errorf("`items_per_request` must be between 1 and %d, found %d", payload.MaxItemsPerRequest, s.ItemsPerRequest))
	}
	errs = append(errs, s.Signal.Validate())
	errs = append(errs, within("`compression`", s.Compression.Validate())...)
	errs = append(errs, within("`client_compression`", s.ClientCompression.Validate())...)
	if err := s.Load.Validate(); err != nil {
		errs = append(errs, within("`load`", err)...)
	} else if items := s.Load.Items(); items > ledger.MaxItems {
		errs = append(errs, fmt.Errorf("`load.duration`: %s at this rate are %.3g items, and at most %d can be told from each other", s.Load.Duration, items, ledger.MaxItems))
	}
	return errors.Join(errs...)
}

// within says of every one of joined errors where it belongs.
func within(where string, err error) []error {
	if err == nil {
		return nil
	}
	parts := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts = joined.Unwrap()
	}
	for i := range parts {
		parts[i] = fmt.Errorf("%s: %w", where, parts[i])
	}
	return parts
}

// unique drops repeated messages: every case of a matrix has the same faults.
func unique(errs []error) []error {
	seen := map[string]bool{}
	return slices.DeleteFunc(errs, func(err error) bool {
		if err == nil || seen[err.Error()] {
			return true
		}
		seen[err.Error()] = true
		return false
	})
}

// Case is one combination of a scenario's matrix.
type Case struct {
	Scenario
	// ID names the case in reports: the scenario and what the matrix varies.
	ID string
}

// Cases are the combinations of the scenario's matrix, or the scenario itself.
func (s *Scenario) Cases() []Case {
	var cases []Case
	for _, one := range s.cases() {
		cases = append(cases, Case{Scenario: one, ID: one.id(s.Matrix)})
	}
	return cases
}

func (s *Scenario) cases() []Scenario {
	out := []Scenario{*s}
	out = vary(out, s.Matrix.Signals, func(c *Scenario, v payload.Signal) { c.Signal = v })
	out = vary(out, s.Matrix.Protocols, func(c *Scenario, v string) { c.Protocol = v })
	out = vary(out, s.Matrix.ItemsPerRequest, func(c *Scenario, v int) { c.ItemsPerRequest = v })
	out = vary(out, s.Matrix.Clients, func(c *Scenario, v int) {
		c.Load.Clients = v
		c.Load.Connections = min(c.Load.Connections, v)
	})
	out = vary(out, s.Matrix.Compressions, func(c *Scenario, v otlp.Compression) { c.Compression = v })
	return vary(out, s.Matrix.ClientCompressions, func(c *Scenario, v otlp.Compression) { c.ClientCompression = v })
}

func vary[T any](cases []Scenario, values []T, set func(*Scenario, T)) []Scenario {
	if len(values) == 0 {
		return cases
	}
	var out []Scenario
	for _, c := range cases {
		for _, v := range values {
			set(&c, v)
			out = append(out, c)
		}
	}
	return out
}

func (s *Scenario) id(m Matrix) string {
	parts := []string{s.Name}
	add := func(varied int, format string, value any) {
		if varied > 0 {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add(len(m.Signals), "%v", s.Signal)
	add(len(m.Protocols), "%v", s.Protocol)
	add(len(m.ItemsPerRequest), "items=%v", s.ItemsPerRequest)
	add(len(m.Clients), "clients=%v", s.Load.Clients)
	add(len(m.Compressions), "%v", s.Compression)
	add(len(m.ClientCompressions), "from=%v", s.ClientCompression)
	return strings.Join(parts, "/")
}

// SuitesOf lists the suites that the scenarios belong to.
func SuitesOf(scenarios []Scenario) []string {
	suites := map[string]bool{}
	for i := range scenarios {
		for _, suite := range scenarios[i].Suites {
			suites[suite] = true
		}
	}
	return slices.Sorted(maps.Keys(suites))
}
