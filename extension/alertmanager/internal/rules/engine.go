package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
)

const (
	// maxSamples bounds the memory of one query: 16 bytes each.
	maxSamples = 5_000_000
	// queryTimeout ends a query that takes too long.
	queryTimeout = 30 * time.Second
	// graceOfFor is the shortest `for` whose progress is restored after a restart.
	graceOfFor = 30 * time.Second
	// outageTolerance is the longest restart over which the progress of `for` is restored.
	outageTolerance = time.Hour
	// resendDelay is how often a firing alert is sent again, so that delivery knows that it goes on.
	resendDelay = time.Minute
)

// Storage is where the engine reads metrics and keeps the state of its rules.
type Storage interface {
	storage.Queryable
	storage.Appendable
}

// Config describes an engine.
type Config struct {
	Storage  Storage
	Rules    *Set
	Interval time.Duration
	// Notify gets firing and resolved alerts after each evaluation that changes something, and once a minute. It must not block.
	Notify      rules.NotifyFunc
	ExternalURL *url.URL
	Logger      *slog.Logger
	Registerer  prometheus.Registerer
}

// Engine evaluates rules in the background and answers queries. All methods may be called at the same time.
type Engine struct {
	cfg     Config
	queries *promql.Engine
	manager *rules.Manager
	running sync.WaitGroup
}

// Start starts the evaluation.
func Start(cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, queries: promql.NewEngine(promql.EngineOpts{
		Logger: cfg.Logger, Reg: cfg.Registerer, MaxSamples: maxSamples, Timeout: queryTimeout, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: promQL,
		NoStepSubqueryIntervalFn: func(int64) int64 { return cfg.Interval.Milliseconds() },
	})}
	e.manager = rules.NewManager(&rules.ManagerOptions{
		ExternalURL: cfg.ExternalURL, QueryFunc: rules.EngineQueryFunc(e.queries, cfg.Storage), NotifyFunc: cfg.Notify,
		Appendable: cfg.Storage, Queryable: cfg.Storage, Logger: cfg.Logger, Registerer: cfg.Registerer,
		OutageTolerance: outageTolerance, ForGracePeriod: graceOfFor, ResendDelay: resendDelay, GroupLoader: cfg.Rules, Parser: promQL,
	})
	if err := e.manager.Update(cfg.Interval, cfg.Rules.sources, labels.EmptyLabels(), cfg.ExternalURL.String(), nil); err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	e.running.Go(e.manager.Run)
	return e, nil
}

// Stop ends the evaluation and waits for what is being evaluated.
func (e *Engine) Stop() error {
	e.manager.Stop()
	e.running.Wait()
	return e.queries.Close()
}

// Groups returns the rule groups with the state of their rules.
func (e *Engine) Groups() []*rules.Group { return e.manager.RuleGroups() }

// QueryRange evaluates a PromQL expression at every step from start to end.
func (e *Engine) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (promql.Matrix, error) {
	query, err := e.queries.NewRangeQuery(ctx, e.cfg.Storage, nil, expr, start, end, step)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	matrix, err := query.Exec(ctx).Matrix()
	if err != nil {
		return nil, err
	}
	// The points belong to the query and are reused after Close.
	points := 0
	for i := range matrix {
		points += len(matrix[i].Floats)
	}
	kept := make([]promql.FPoint, 0, points)
	for i := range matrix {
		from := len(kept)
		kept = append(kept, matrix[i].Floats...)
		matrix[i] = promql.Series{Metric: matrix[i].Metric, Floats: kept[from:len(kept):len(kept)]}
	}
	return append(promql.Matrix(nil), matrix...), nil
}
