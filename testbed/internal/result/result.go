// Package result is what a run leaves: measurements, what they are compared by, and the limits they broke.
package result

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
)

// Report is the outcome of one command. It is written as JSON and read again by compare and report.
type Report struct {
	// Time is when the run began. Of several put together, it is the first one's, and Until the last one's.
	Time    time.Time `json:"time"`
	Until   time.Time `json:"until,omitzero"`
	Machine Machine   `json:"machine"`
	Command string    `json:"command"`
	// Programs maps the binaries to what they say of their version.
	Programs map[string]string `json:"programs"`
	Cases    []Case            `json:"cases"`
	// Interrupted is set where the run was ended before its time; what was measured until then is there, and not judged.
	Interrupted bool `json:"interrupted,omitempty"`
	// Skipped says what could not run, and why.
	Skipped []string `json:"skipped,omitempty"`
	// Unheld are those of ours among them, whose limits nobody looked at.
	Unheld []string `json:"unheld,omitempty"`
}

// Machine is where a run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	// GC names GOGC and GOMEMLIMIT if they were set for the contenders.
	GC string `json:"gc"`
}

// Case is one case of a scenario with all its measurements.
type Case struct {
	ID              string `json:"id"`
	Description     string `json:"description"`
	Signal          string `json:"signal"`
	Protocol        string `json:"protocol"`
	ItemsPerRequest int    `json:"items_per_request"`
	Compression     string `json:"compression"`
	Clients         int    `json:"clients"`
	Pinned          bool   `json:"pinned,omitempty"`
	// Baseline is the contender that ratios are taken against.
	Baseline   string      `json:"baseline"`
	Contenders []Contender `json:"contenders"`
}

// Contender is a contender's measurements in one case, by round.
type Contender struct {
	Name       string        `json:"name"`
	Title      string        `json:"title"`
	Durability string        `json:"durability"`
	Ours       bool          `json:"ours,omitempty"`
	Rounds     []Measurement `json:"rounds"`
}

// Measurement is one run of one contender.
type Measurement struct {
	Counts ledger.Counts `json:"counts"`
	// Seconds is what was measured, without warm-up and drain.
	Seconds float64 `json:"seconds"`
	// Throughput is what the backend received, in items per second.
	Throughput float64 `json:"throughput"`
	// CPUPerMillion is in CPU seconds per million items received; CPUCores is the mean number of processors used.
	CPUPerMillion float64 `json:"cpu_seconds_per_million"`
	CPUCores      float64 `json:"cpu_cores"`
	// DriverCPUPerMillion is the same for generator and backend together, DriverCores likewise.
	DriverCPUPerMillion float64 `json:"driver_cpu_seconds_per_million"`
	DriverCores         float64 `json:"driver_cpu_cores"`
	// WireBytesPerItem is what the backend's connections carried to it, frames and headers included.
	WireBytesPerItem float64 `json:"wire_bytes_per_item"`
	// ItemsPerExport is the mean size of what the backend accepted.
	ItemsPerExport float64 `json:"items_per_export"`
	PeakRSS        uint64  `json:"peak_rss_bytes"`
	PeakAnonymous  uint64  `json:"peak_anonymous_bytes"`
	// MemoryGrowth is the mean anonymous memory of the last quarter as a share of the second quarter's: near 1 where nothing leaks. The first
	// quarter is left out, in which everything grows. 0 where there are too few samples.
	MemoryGrowth float64 `json:"memory_growth,omitempty"`
	Latency      Latency `json:"latency"`
	// Lag is how late the generator itself was (99 of 100 requests); Behind says that it could not keep its rate, so that the
	// latencies belong to a lower load than intended.
	LagP99  time.Duration `json:"lag_p99_ns"`
	Behind  bool          `json:"behind,omitempty"`
	Skipped uint64        `json:"skipped_requests,omitempty"`
	// Attempts and Failures are the clients' requests with every retry; Errors counts the failures by status.
	Attempts uint64            `json:"attempts"`
	Failures uint64            `json:"failures"`
	Errors   map[string]uint64 `json:"errors,omitempty"`
	Rejected int64             `json:"partial_success_rejected,omitempty"`
	// Limiter is what was at its end: "collector", "driver", or "neither".
	Limiter string   `json:"limiter"`
	Series  []Sample `json:"series,omitempty"`
	// Shutdown is how long the Collector took to end after SIGTERM.
	Shutdown time.Duration `json:"shutdown_ns"`
	// Broken are the limits that did not hold, Fault what went wrong with the run itself.
	Broken []string `json:"broken_limits,omitempty"`
	Fault  string   `json:"fault,omitempty"`
}

// Latency is how long acknowledged requests took, from the moment they were due.
type Latency struct {
	Requests int64         `json:"requests"`
	Mean     time.Duration `json:"mean_ns"`
	StdDev   time.Duration `json:"stddev_ns"`
	P50      time.Duration `json:"p50_ns"`
	P95      time.Duration `json:"p95_ns"`
	P99      time.Duration `json:"p99_ns"`
	Max      time.Duration `json:"max_ns"`
	// Outliers is the share of requests above the upper quartile by more than one and a half times the distance of the quartiles
	// (Tukey, Exploratory Data Analysis, 1977).
	Outliers float64 `json:"outliers"`
	// Curve is the distribution, for plots.
	Curve []Quantile `json:"curve,omitempty"`
}

// Quantile is one point of a distribution.
type Quantile struct {
	Percentile float64       `json:"p"`
	Value      time.Duration `json:"v"`
}

// Sample is one moment of a run.
type Sample struct {
	// At is counted from the beginning of what is measured; the warm-up is negative.
	At time.Duration `json:"at"`
	// Received is the backend's items per second since the last sample.
	Received  float64 `json:"received"`
	CPUCores  float64 `json:"cpu"`
	Anonymous uint64  `json:"anonymous"`
	Pending   int64   `json:"pending"`
}

// minGrowthSamples is how many samples MemoryGrowth needs, four in each quarter.
const minGrowthSamples = 16

// GrowthOf computes MemoryGrowth. Moments without a process, between a kill and a start, do not count.
func GrowthOf(series []Sample) float64 {
	if len(series) < minGrowthSamples {
		return 0
	}
	mean := func(part []Sample) float64 {
		var sum, n float64
		for i := range part {
			if part[i].Anonymous > 0 {
				sum, n = sum+float64(part[i].Anonymous), n+1
			}
		}
		return sum / n
	}
	quarter := len(series) / 4
	growth := mean(series[3*quarter:]) / mean(series[quarter:2*quarter])
	if math.IsNaN(growth) || math.IsInf(growth, 0) {
		return 0
	}
	return growth
}

// Add puts another run's cases into this report. It is an error where the two have not the same machine and the same versions: a report
// names one of each.
func (r *Report) Add(more *Report) error {
	if r.Machine != more.Machine {
		return fmt.Errorf("the runs are of different machines: %+v, and %+v", r.Machine, more.Machine)
	}
	for name, version := range more.Programs {
		if known, ok := r.Programs[name]; ok && known != version {
			return fmt.Errorf("the runs are of different versions of %s: %s, and %s", name, known, version)
		}
	}
	if r.Programs == nil {
		r.Programs = map[string]string{}
	}
	maps.Copy(r.Programs, more.Programs)
	for _, at := range []time.Time{r.Time, more.Time, more.Until} {
		if at.After(r.Until) {
			r.Until = at
		}
	}
	if more.Time.Before(r.Time) {
		r.Time = more.Time
	}
	r.Command += "\n" + more.Command
	r.Cases = append(r.Cases, more.Cases...)
	r.Skipped = append(r.Skipped, more.Skipped...)
	r.Unheld = append(r.Unheld, more.Unheld...)
	r.Interrupted = r.Interrupted || more.Interrupted
	return nil
}

// Write puts the report into a file.
func (r *Report) Write(path string) error {
	content, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}

// Read takes a report from a file.
func Read(path string) (*Report, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Broken lists every limit that did not hold or was not looked at, and every run that failed.
func (r *Report) Broken() []string {
	broken := slices.Clone(r.Unheld)
	for _, c := range r.Cases {
		for _, contender := range c.Contenders {
			for round, m := range contender.Rounds {
				where := fmt.Sprintf("%s, %s, round %d: ", c.ID, contender.Name, round+1)
				for _, b := range m.Broken {
					broken = append(broken, where+b)
				}
				if m.Fault != "" && contender.Ours {
					broken = append(broken, where+m.Fault)
				}
			}
		}
	}
	return broken
}
