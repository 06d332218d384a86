// Package storage keeps the recent course of the metrics that rules look at: Prometheus's tsdb, with a bound on the series
// and a short retention.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Config describes a storage.
type Config struct {
	Directory string
	Retention time.Duration
	// MaxSeries bounds the series of incoming metrics. The engine's own, which keep the state of rules over a restart, are
	// not refused.
	MaxSeries int
	// IgnoreResourceAttributes do not become labels.
	IgnoreResourceAttributes []string
	Logger                   *slog.Logger
	Registerer               prometheus.Registerer
	// Trouble, if not nil, is told when samples can no longer be written to disk, and with nil when they can again. It must not block.
	Trouble func(error)
}

// stripes of the series' maps: the default is for millions of series and costs 3.6 MiB.
const stripes = 1024

// Storage is a tsdb that takes OTLP metrics. All methods may be called at the same time.
type Storage struct {
	db       *tsdb.DB
	bound    *seriesBound
	unlogged *unlogged
	ignored  []string
	logger   *slog.Logger
	trouble  func(error)
	failing  atomic.Bool // the last commit could not be written to disk
	refused  atomic.Int64
	late     atomic.Int64
	// unconverted counts requests with metrics that Prometheus's converter does not take, such as delta sums.
	unconverted atomic.Int64
}

// Stats are figures of a storage. Refused and Late count since the start.
type Stats struct {
	Series int64
	// Unlogged are series that are kept in memory, as the disk does not take them.
	Unlogged int64
	// Refused are samples of series beyond MaxSeries; Late are samples older than, or as old as, what is stored of their series.
	Refused, Late int64
	// Unconverted are requests with metrics that cannot be stored, such as delta sums.
	Unconverted int64
}

var errTooManySeries = errors.New("too many series")

// Open opens the storage in its directory and creates that if there is none.
func Open(cfg Config) (*Storage, error) {
	s := &Storage{
		ignored: cfg.IgnoreResourceAttributes, logger: cfg.Logger, trouble: cfg.Trouble, bound: &seriesBound{limit: int64(cfg.MaxSeries)},
	}
	options := tsdb.DefaultOptions()
	options.RetentionDuration = cfg.Retention.Milliseconds()
	// The head keeps up to one and a half blocks: with blocks of a quarter of the retention, little more than that is in memory.
	options.MinBlockDuration = max(cfg.Retention/4, time.Minute).Milliseconds()
	options.MaxBlockDuration = options.MinBlockDuration
	options.StripeSize = stripes
	options.WALSegmentSize = 4 << 20
	// At this interval the tsdb moves full chunks to files, and ends the process with a panic when the disk is full. They stay in memory
	// until their block is written, which reports errors.
	options.BlockReloadInterval = math.MaxInt64
	options.SeriesLifecycleCallback = s.bound
	var err error
	if s.unlogged, err = openUnlogged(&cfg, options.MinBlockDuration); err == nil {
		s.db, err = tsdb.Open(filepath.Join(cfg.Directory, "tsdb"), cfg.Logger, cfg.Registerer, options, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open the storage of metrics in %s: %w", cfg.Directory, err)
	}
	s.bound.opened.Store(true)
	return s, nil
}

// Close ends the storage. On a full disk the tsdb panics at last, when it moves chunks to files; they are in its log as well.
func (s *Storage) Close() (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("close the storage of metrics: %v", reason)
		}
	}()
	return s.db.Close()
}

// Querier implements storage.Queryable.
func (s *Storage) Querier(from, to int64) (storage.Querier, error) {
	q, err := s.db.Querier(from, to)
	if err != nil {
		return nil, err
	}
	merged, err := s.unlogged.merge(q, from, to)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return merged, nil
}

// Appender implements storage.Appendable, for the rules' engine.
func (s *Storage) Appender(ctx context.Context) storage.Appender {
	return &engineAppender{Appender: s.db.Appender(ctx), storage: s}
}

// Stats returns the figures of now.
func (s *Storage) Stats() Stats {
	return Stats{
		Series: s.bound.series.Load(), Unlogged: s.unlogged.bound.series.Load(),
		Refused: s.refused.Load(), Late: s.late.Load(), Unconverted: s.unconverted.Load(),
	}
}

// ConsumeMetrics stores metrics under their OpenTelemetry names and removes ignored attributes from them; all other attributes become
// labels. Samples of series beyond the bound, and metrics that Prometheus has no form for (delta sums), are left out and counted; the
// rest is stored. An error is permanent.
func (s *Storage) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	for _, resource := range md.ResourceMetrics().All() {
		for _, name := range s.ignored {
			resource.Resource().Attributes().Remove(name)
		}
	}
	app := &appender{AppenderV2: s.db.AppenderV2(ctx), storage: s}
	converter := prometheusremotewrite.NewPrometheusConverter(app)
	_, conversion := converter.FromMetrics(ctx, md, prometheusremotewrite.Settings{
		AllowUTF8:         true,
		DisableTargetInfo: true,
		PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{
			PromoteAllResourceAttributes: true,
		}),
	})
	// What could be converted is kept: these errors are of single metrics, and the same again when they are sent again.
	if conversion != nil && s.unconverted.Add(1) == 1 {
		s.logger.Warn("some metrics cannot be stored, further ones are only counted", "err", conversion)
	}
	if err := app.Commit(); err != nil {
		return consumererror.NewPermanent(fmt.Errorf("store metrics: %w", err))
	}
	return nil
}

// seriesBound refuses to create series beyond the limit. The tsdb calls it from many goroutines.
type seriesBound struct {
	series atomic.Int64
	limit  int64
	// opened is set when the log has been replayed: a series that is refused then would stop the start.
	opened atomic.Bool
}

// ofTheEngine tells the series in which the rules' engine keeps the state of alerts from those of metrics.
func ofTheEngine(ls labels.Labels) bool {
	name := ls.Get(model.MetricNameLabel)
	return name == "ALERTS" || name == "ALERTS_FOR_STATE"
}

// PreCreation implements tsdb.SeriesLifecycleCallback.
func (b *seriesBound) PreCreation(ls labels.Labels) error {
	if b.opened.Load() && !ofTheEngine(ls) && b.series.Load() >= b.limit {
		return errTooManySeries
	}
	return nil
}

// PostCreation implements tsdb.SeriesLifecycleCallback.
func (b *seriesBound) PostCreation(ls labels.Labels) {
	if !ofTheEngine(ls) {
		b.series.Add(1)
	}
}

// PostDeletion implements tsdb.SeriesLifecycleCallback.
func (b *seriesBound) PostDeletion(deleted map[chunks.HeadSeriesRef]labels.Labels) {
	for _, ls := range deleted {
		if !ofTheEngine(ls) {
			b.series.Add(-1)
		}
	}
}
