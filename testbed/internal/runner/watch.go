package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/process"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/resources"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// sampleInterval is how often memory and throughput are looked at.
const sampleInterval = 100 * time.Millisecond

// watch follows what a trial uses. CPU is taken at the borders of what is measured, memory at every sample.
type watch struct {
	mu            sync.Mutex // guards everything below
	series        []result.Sample
	begun, ended  moment
	last          moment
	peakRSS       uint64
	peakAnonymous uint64
	diskUsed      float64 // the largest share of the storage's disk
}

// moment is everything that only grows, at one time.
type moment struct {
	at           time.Time
	usage        resources.Usage // with the CPU of the processes that ended before
	driver       float64
	received     uint64
	acknowledged uint64
}

func (t *trial) now() moment {
	m := moment{
		at: time.Now(), driver: resources.OwnCPUSeconds(), received: t.ledger.Received(),
		acknowledged: t.generator.Statistics().Acknowledged,
	}
	if t.process != nil {
		m.usage = usage(t.process)
	}
	return m
}

// usage is that of the present process, and the CPU of those that ended before.
func usage(p *process.Process) resources.Usage {
	for {
		spent := p.Spent()
		// Between a kill and the next start there is nothing to read.
		u, _ := resources.Read(p.PID())
		if p.Spent() == spent { // or else the process ended meanwhile, and may be in both or in neither
			u.CPUSeconds += spent.Seconds()
			return u
		}
	}
}

func (w *watch) run(ctx context.Context, t *trial) {
	resources.Sample(ctx, sampleInterval, func(time.Time) { w.take(t) })
}

func (w *watch) take(t *trial) {
	m := t.now()
	used := 0.0
	if t.storage != nil {
		used = t.storage.used()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diskUsed = max(w.diskUsed, used)
	w.peakRSS = max(w.peakRSS, m.usage.RSS)
	w.peakAnonymous = max(w.peakAnonymous, m.usage.Anonymous)
	// What was looked at just before the measured time began, and gets here after, belongs to neither side of that border.
	if m.at.Before(w.begun.at) {
		return
	}
	if seconds := m.at.Sub(w.last.at).Seconds(); !w.last.at.IsZero() && seconds > 0 {
		sample := result.Sample{
			At: m.at.Sub(w.begun.at), Received: float64(m.received-w.last.received) / seconds,
			CPUCores:  max(0, m.usage.CPUSeconds-w.last.usage.CPUSeconds) / seconds,
			Anonymous: m.usage.Anonymous, Pending: int64(m.acknowledged) - int64(m.received),
		}
		if w.begun.at.IsZero() {
			sample.At = m.at.Sub(w.last.at) // moved when the beginning is known
		}
		w.series = append(w.series, sample)
		if t.runner.Progress != nil {
			t.runner.Progress.Sample(sample.Received, t.generator.Statistics().Failures, m.at.Sub(w.last.at))
		}
	}
	w.last = m
}

// begin drops what the warm-up showed: peaks of memory stay, since they are what a start costs.
func (w *watch) begin(t *trial) {
	m := t.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun = m
	w.series = nil
}

func (w *watch) end(t *trial) {
	m := t.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = m
}

// fullDisk is the share of a disk from which on a request finds no room, or the next one.
const fullDisk = 0.9

// full is an error where the disk was not: then nothing was seen of what a full one does.
func (w *watch) full() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.diskUsed < fullDisk {
		return fmt.Errorf("%.0f %% of the disk were used at most: it was never full", 100*w.diskUsed)
	}
	return nil
}

// busy is the use of a processor from which on it is the limit, leaving room for what the kernel takes.
const busy = 0.9

// measurement puts together what the trial's parts know. All of them must have ended.
func (t *trial) measurement() result.Measurement {
	w := &t.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	stats := t.generator.Statistics()
	m := result.Measurement{
		Counts: t.ledger.Count(), PeakRSS: w.peakRSS, PeakAnonymous: w.peakAnonymous, Latency: result.NewLatency(t.generator.Latencies()),
		Skipped: stats.Skipped, Attempts: stats.Attempts, Failures: stats.Failures, Errors: stats.Errors, Rejected: stats.Rejected,
		Series: w.series, Limiter: "neither", MemoryGrowth: result.GrowthOf(w.series),
	}
	if w.begun.at.IsZero() || w.ended.at.IsZero() {
		return m
	}
	m.Seconds = w.ended.at.Sub(w.begun.at).Seconds()
	items := float64(w.ended.received - w.begun.received)
	driver := w.ended.driver - w.begun.driver
	m.Throughput = items / m.Seconds
	m.DriverCores = driver / m.Seconds
	m.CPUCores = (w.ended.usage.CPUSeconds - w.begun.usage.CPUSeconds) / m.Seconds
	if items > 0 {
		m.CPUPerMillion = m.CPUCores * m.Seconds / items * 1e6
		m.DriverCPUPerMillion = driver / items * 1e6
	}
	// These two are of the whole run: at the borders of what is measured, a large request is half read and not counted yet.
	if received := float64(m.Counts.Received); received > 0 {
		m.WireBytesPerItem = float64(t.sink.WireBytes()) / received
		m.ItemsPerExport = received / float64(t.sink.Requests())
	}
	if t.scenario.Pin {
		if m.CPUCores >= busy {
			m.Limiter = "collector"
		} else if m.DriverCores >= busy {
			m.Limiter = "driver"
		}
	}
	t.keptUp(&m)
	return m
}

// Bounds beyond which an open loop did not keep its rate.
const (
	maxLag       = 100 * time.Millisecond
	minSentShare = 0.95
)

// keptUp tells whether the generator sent what it was to send, when it was to. A request that waits for a free client is late as well:
// then the clients are too few for the latency, and the load was not what the scenario says.
func (t *trial) keptUp(m *result.Measurement) {
	lags := t.generator.Lags()
	if lags.TotalCount() == 0 {
		return
	}
	m.LagP99 = time.Duration(lags.ValueAtPercentile(99)) * time.Microsecond
	l := &t.scenario.Load
	var intended float64
	const step = 10 * time.Millisecond
	for at := l.Warmup; at < l.Warmup+l.Duration; at += step {
		intended += l.RateAt(at) * step.Seconds()
	}
	sent := float64(lags.TotalCount()) * float64(t.set.ItemsPerRequest())
	complete := t.watch.ended.at.Sub(t.watch.begun.at) >= l.Duration-sampleInterval
	m.Behind = m.Skipped > 0 || m.LagP99 > maxLag || complete && sent < intended*minSentShare
}
