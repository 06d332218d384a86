package selfmetrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper/scrapererror"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/endpoint"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/host"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/self"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
)

// selfScraper reads its sources side by side and writes what they found. Its methods are called by the controller, one at a
// time, except stop.
type selfScraper struct {
	logger   *zap.Logger
	resource pcommon.Resource
	builder  *metadata.MetricsBuilder
	endpoint *endpoint.Source
	sources  []*sourceState
	interval time.Duration
	began    time.Time // of the last scrape; zero before it

	base context.Context // ends with stop
	stop context.CancelFunc
}

// sourceState is a source and what the scraper knows about it.
type sourceState struct {
	name   metadata.AttributeSource
	source source.Source
	// pending receives the reading under way; nil when there is none. A source that does not answer in time (a file system
	// on a dead server can block for ever) is not asked again until it has.
	pending chan timed
	late    bool // pending is for an earlier scrape
	began   time.Time
	// faults is what was logged last, as the sorted names of the parts that fail.
	faults string
}

// timed is a reading, how long it took, and when it ended.
type timed struct {
	source.Reading
	took  time.Duration
	ended time.Time
}

func newScraper(cfg *Config, set receiver.Settings) *selfScraper {
	base, stop := context.WithCancel(context.Background())
	telemetry := endpoint.New(cfg.Telemetry, set.TelemetrySettings)
	return &selfScraper{
		logger:   set.Logger,
		resource: set.Resource,
		builder:  metadata.NewMetricsBuilder(cfg.Metrics, set),
		endpoint: telemetry,
		interval: cfg.Controller.CollectionInterval,
		sources: []*sourceState{
			{name: metadata.AttributeSourceEndpoint, source: telemetry},
			{name: metadata.AttributeSourceProcess, source: self.NewProcess()},
			{name: metadata.AttributeSourceRuntime, source: self.NewRuntime()},
			{name: metadata.AttributeSourceHost, source: host.New()},
		},
		base: base,
		stop: stop,
	}
}

func (s *selfScraper) start(ctx context.Context, h component.Host) error {
	return s.endpoint.Start(ctx, h)
}

// shutdown waits for readings under way, which stop has cut short, but no longer than ctx allows: what hangs in the kernel
// cannot be cut short.
func (s *selfScraper) shutdown(ctx context.Context) error {
	s.stop()
	for _, st := range s.sources {
		st.late = false // nothing is read any more
		st.await(ctx)
	}
	s.endpoint.Shutdown()
	return nil
}

// scrape reads all sources side by side until the deadline of ctx. Its error is a partial one that counts the metrics which
// are missing; what is there comes with it.
//
// When one scrape was late, the next one follows on its heels. It is left out: what happened in a few milliseconds, which may
// be the milliseconds in which the process caught up, is no rate to alert on. The one after it covers the time of both.
func (s *selfScraper) scrape(ctx context.Context) (pmetric.Metrics, error) {
	began := time.Now()
	if !s.began.IsZero() && began.Sub(s.began) < s.interval/2 {
		return pmetric.NewMetrics(), nil
	}
	s.began = began
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.base, cancel)()
	for _, st := range s.sources {
		st.begin(ctx, s.interval/2)
	}
	var errs scrapererror.ScrapeErrors
	for _, st := range s.sources {
		reading, ok := st.await(ctx)
		if !ok {
			reading.took = time.Since(st.began)
			reading.Faults = []source.Fault{{
				Part: source.Deadline, Metrics: 1, Err: fmt.Errorf("no answer after %v: %w", reading.took.Round(time.Millisecond), context.Cause(ctx)),
			}}
		}
		if s.base.Err() != nil {
			return pmetric.NewMetrics(), s.base.Err() // shutting down: what failed did so because of that
		}
		s.report(st, reading.Faults)
		s.emit(st, reading)
		for _, fault := range reading.Faults {
			errs.AddPartial(fault.Metrics, fmt.Errorf("%s: %s: %w", st.name, fault.Part, fault.Err))
		}
	}
	return s.builder.Emit(), errs.Combine()
}

// begin starts a reading unless one is still under way, or one for an earlier scrape has ended so lately that another
// would have next to no time to tell rates of.
func (st *sourceState) begin(ctx context.Context, lately time.Duration) {
	if st.pending != nil {
		select {
		case reading := <-st.pending:
			if len(reading.Found) > 0 && time.Since(reading.ended) < lately {
				st.late = false
				st.pending <- reading
				return
			}
		default:
			st.late = true
			return
		}
	}
	st.read(ctx)
}

func (st *sourceState) read(ctx context.Context) {
	st.began, st.late = time.Now(), false
	began, pending := st.began, make(chan timed, 1)
	st.pending = pending
	go func() {
		reading := st.source.Read(ctx)
		ended := time.Now()
		pending <- timed{reading, ended.Sub(began), ended}
	}()
}

// await returns the reading under way, or false when ctx ends first or there is none. A reading for the scrape before that comes
// to its end only now is as good as any; when it found nothing, because its time was up, the source is read again.
func (st *sourceState) await(ctx context.Context) (timed, bool) {
	for st.pending != nil {
		select {
		case reading := <-st.pending:
			st.pending = nil
			if !st.late || len(reading.Found) > 0 {
				return reading, true
			}
			if ctx.Err() == nil {
				st.read(ctx)
			}
			continue
		case <-ctx.Done():
		}
		// Both may have been ready. What is there counts, however late it is looked at.
		select {
		case reading := <-st.pending:
			st.pending = nil
			return reading, !st.late || len(reading.Found) > 0
		default:
			return timed{}, false
		}
	}
	return timed{}, false
}

func (s *selfScraper) emit(st *sourceState, reading timed) {
	now := pcommon.NewTimestampFromTime(time.Now())
	up := int64(1)
	if len(reading.Found) == 0 {
		up = 0
	}
	for _, record := range reading.Found {
		record(s.builder, now)
	}
	s.builder.RecordOtelcolSelfScrapeUpDataPoint(now, up, st.name)
	s.builder.RecordOtelcolSelfScrapeDurationDataPoint(now, reading.took.Seconds(), st.name)
	options := []metadata.ResourceMetricsOption{metadata.WithResource(s.resource)}
	if reading.Start != 0 {
		options = append(options, metadata.WithStartTimeOverride(reading.Start))
	}
	s.builder.EmitForResource(options...)
}

// report logs a source that begins to fail, fails otherwise than before, or is well again: once each.
func (s *selfScraper) report(st *sourceState, faults []source.Fault) {
	parts := make([]string, 0, len(faults))
	errs := make([]error, 0, len(faults))
	for _, fault := range faults {
		parts = append(parts, fault.Part)
		errs = append(errs, fmt.Errorf("%s: %w", fault.Part, fault.Err))
	}
	slices.Sort(parts)
	now := strings.Join(parts, ", ")
	if now == st.faults {
		return
	}
	st.faults = now
	if now == "" {
		s.logger.Info("Source of self metrics is readable again", zap.Stringer("source", st.name))
		return
	}
	s.logger.Warn("Source of self metrics cannot be read; its metrics are missing until it can",
		zap.Stringer("source", st.name), zap.Error(errors.Join(errs...)))
}
