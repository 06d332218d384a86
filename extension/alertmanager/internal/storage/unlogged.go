package storage

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// unlogged keeps in memory what could not be written to the write-ahead log, as on a full disk: Prometheus gives up such samples, and rules
// would go blind. Queries see it for the retention; a restart forgets it.
type unlogged struct {
	head      *tsdb.Head
	bound     *seriesBound
	retention int64 // ms
	// active says that the head holds samples.
	active atomic.Bool
	mu     sync.Mutex // guards changes of active with what causes them
}

// sample is what was appended, until it is known to be in the log. One of value, h and fh is set, as in storage.AppenderV2.
type sample struct {
	series labels.Labels
	time   int64
	value  float64
	h      *histogram.Histogram
	fh     *histogram.FloatHistogram
}

// openUnlogged needs a directory, in which nothing is ever written: only tsdb.DB's maintenance and Head.Close would, and neither is in use here.
func openUnlogged(cfg *Config, blockMilliseconds int64) (*unlogged, error) {
	u := &unlogged{retention: cfg.Retention.Milliseconds(), bound: &seriesBound{limit: int64(cfg.MaxSeries)}}
	u.bound.opened.Store(true)
	options := tsdb.DefaultHeadOptions()
	options.ChunkDirRoot = filepath.Join(cfg.Directory, "unlogged")
	options.ChunkRange = blockMilliseconds
	options.StripeSize = stripes
	options.SeriesCallback = u.bound
	var err error
	u.head, err = tsdb.NewHead(nil, cfg.Logger, nil, nil, options, nil)
	return u, err
}

// keep stores samples; those that cannot be are given to refused.
func (u *unlogged) keep(samples []sample, refused func(error)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	app := u.head.AppenderV2(context.Background())
	for _, s := range samples {
		if _, err := app.Append(0, s.series, 0, s.time, s.value, s.h, s.fh, storage.AppendV2Options{}); err != nil {
			refused(err)
		}
	}
	if err := app.Commit(); err != nil {
		return err
	}
	u.active.Store(true)
	return nil
}

// prune gives up what is older than the retention.
func (u *unlogged) prune(now time.Time) error {
	if !u.active.Load() {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	oldest := now.UnixMilli() - u.retention
	if u.head.MinTime() > oldest-u.retention/4 && u.head.MaxTime() >= oldest {
		return nil
	}
	if u.head.MaxTime() < oldest {
		u.active.Store(false)
		oldest = u.head.MaxTime() + 1
	}
	return u.head.Truncate(oldest)
}

// merge adds what is kept in memory to a query of the database.
func (u *unlogged) merge(q storage.Querier, from, to int64) (storage.Querier, error) {
	if !u.active.Load() || u.head.MaxTime() < from || u.head.MinTime() > to {
		return q, nil
	}
	kept, err := tsdb.NewBlockQuerier(tsdb.NewRangeHead(u.head, from, to), from, to)
	if err != nil {
		return nil, err
	}
	return storage.NewMergeQuerier([]storage.Querier{q, kept}, nil, storage.ChainedSeriesMerge), nil
}
