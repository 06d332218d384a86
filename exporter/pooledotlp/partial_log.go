package pooledotlp

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// partialLogInterval is the least time between two log lines about partial successes. The metrics count each of them.
const partialLogInterval = time.Minute

// partialLog says at most once per interval what backends rejected.
type partialLog struct {
	logger *zap.Logger

	mu        sync.Mutex
	next      time.Time
	responses int
	rejected  int64
}

func (l *partialLog) add(p partialSuccess, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.responses++
	l.rejected += p.rejected
	if now.Before(l.next) {
		return
	}
	l.logger.Warn("The backend accepted requests partially.",
		zap.String("message", p.message), zap.Int64("rejected_items", l.rejected), zap.Int("responses", l.responses))
	l.next, l.responses, l.rejected = now.Add(partialLogInterval), 0, 0
}
