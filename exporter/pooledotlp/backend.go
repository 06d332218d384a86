package pooledotlp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// awayAfter is how long every attempt must have failed before the backend counts as away. One failure among successes is
// no news: it is retried.
const awayAfter = 5 * time.Second

// backend follows whether the backend is there, and tells changes to the log and as component status.
type backend struct {
	logger *zap.Logger
	host   component.Host // set once at start, before any attempt

	// troubled lets the common case, success after success, return without the lock.
	troubled atomic.Bool

	mu           sync.Mutex
	failingSince time.Time
	away         bool
}

func newBackend(logger *zap.Logger) *backend { return &backend{logger: logger} }

// observe takes in how an attempt ended, and after what time.
func (b *backend) observe(v verdict, latency time.Duration) {
	switch v.outcome {
	case attempt.Unavailable, attempt.DeadlineExceeded, attempt.Failed:
		b.failed(v.err, time.Now())
	case attempt.Canceled:
		// The caller's doing. But callers leave a backend that never answers before the time-out of the attempt, and then this is all
		// that is seen of it.
		if latency >= awayAfter {
			b.failed(fmt.Errorf("no answer within %s, and the caller left: %w", latency.Round(time.Millisecond), v.err), time.Now())
		}
	default:
		if b.troubled.Load() {
			b.answered(time.Now())
		}
	}
}

func (b *backend) failed(err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.troubled.Load() {
		b.failingSince = now
		b.troubled.Store(true)
	}
	if b.away || now.Sub(b.failingSince) < awayAfter {
		return
	}
	b.away = true
	b.logger.Warn("The backend is away.", zap.Error(err))
	componentstatus.ReportStatus(b.host, componentstatus.NewRecoverableErrorEvent(err))
}

func (b *backend) answered(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubled.Store(false)
	if !b.away {
		return
	}
	b.away = false
	b.logger.Info("The backend is back.", zap.Stringer("away", now.Sub(b.failingSince)))
	componentstatus.ReportStatus(b.host, componentstatus.NewEvent(componentstatus.StatusOK))
}
