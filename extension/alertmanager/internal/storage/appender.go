package storage

import (
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// appender counts what the storage refuses instead of giving up the rest of the request.
type appender struct {
	storage.AppenderV2
	storage *Storage
	samples []sample
}

// Append implements storage.AppenderV2.
func (a *appender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AppendV2Options) (storage.SeriesRef, error) {
	if ofTheEngine(ls) {
		a.storage.refused.Add(1) // it would forge the state of rules
		return 0, nil
	}
	ref, err := a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	if err == nil {
		a.samples = append(a.samples, sample{ls, t, v, h, fh})
	} else if a.storage.notStored(err) {
		return 0, nil
	}
	return ref, err
}

// Commit implements storage.AppenderTransaction.
func (a *appender) Commit() error { return a.storage.committed(a.AppenderV2.Commit(), a.samples) }

// engineAppender is for the rules' results.
type engineAppender struct {
	storage.Appender
	storage *Storage
	samples []sample
}

// Append implements storage.Appender.
func (a *engineAppender) Append(ref storage.SeriesRef, ls labels.Labels, t int64, v float64) (storage.SeriesRef, error) {
	ref, err := a.Appender.Append(ref, ls, t, v)
	if err == nil {
		a.samples = append(a.samples, sample{series: ls, time: t, value: v})
	}
	return ref, err
}

// AppendHistogram implements storage.HistogramAppender.
func (a *engineAppender) AppendHistogram(ref storage.SeriesRef, ls labels.Labels, t int64, h *histogram.Histogram, fh *histogram.FloatHistogram) (storage.SeriesRef, error) {
	ref, err := a.Appender.AppendHistogram(ref, ls, t, h, fh)
	if err == nil {
		a.samples = append(a.samples, sample{series: ls, time: t, h: h, fh: fh})
	}
	return ref, err
}

// Commit implements storage.AppenderTransaction.
func (a *engineAppender) Commit() error {
	return a.storage.committed(a.Appender.Commit(), a.samples)
}

// notStored counts a sample that was left out and reports whether the error was one of it alone.
func (s *Storage) notStored(err error) bool {
	switch {
	case errors.Is(err, errTooManySeries):
		s.refused.Add(1)
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp),
		errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds):
		s.late.Add(1)
	default:
		return false
	}
	return true
}

// committed deals with the result of a commit. What was refused then, was refused by the disk, and as a whole.
func (s *Storage) committed(err error, samples []sample) error {
	if len(samples) == 0 {
		return err // nothing had to be written, so it says nothing of the disk
	}
	if failed := err != nil; s.failing.Swap(failed) != failed {
		if failed {
			s.logger.Error("metrics cannot be written to disk: rules go on in memory, and a restart will forget what they have seen", "err", err)
		} else {
			s.logger.Info("metrics are written to disk again")
		}
		if s.trouble != nil {
			s.trouble(err)
		}
	}
	if err != nil {
		err = s.unlogged.keep(samples, func(refused error) { s.notStored(refused) })
	}
	return errors.Join(err, s.unlogged.prune(time.Now()))
}
