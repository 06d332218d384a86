package adaptivebatch

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Start says how calls are held. There is no work before the first one.
func (b *batcher) Start(context.Context, component.Host) error {
	if b.cfg.encodes() {
		b.buffers.LeaveOutOfHeadroom()
		b.logger.Info("Calls that arrive decoded are encoded at once: nothing behind this processor looks into them.")
	}
	return nil
}

// cancelGrace is how long a cancelled export may take to return.
const cancelGrace = time.Second

// Shutdown sends what was admitted, within shutdown_timeout, and refuses everything that comes later with an error that
// senders try again. What cannot be sent in time is answered with such an error, too.
func (b *batcher) Shutdown(ctx context.Context) error {
	b.beginShutdown()
	defer b.cancelBase()
	defer b.exports.Stop()
	defer b.telemetry.unobserve()
	if b.buffers != nil {
		defer b.buffers.Close()
	}
	deadline := time.NewTimer(b.cfg.ShutdownTimeout)
	defer deadline.Stop()
	select {
	case <-b.drained:
		return nil
	case <-deadline.C:
	case <-ctx.Done():
	}
	items := b.giveUp()
	deadline.Reset(cancelGrace)
	select {
	case <-b.drained:
	case <-deadline.C:
	}
	return fmt.Errorf("shutdown_timeout of %s: %d items were not sent; their senders were told", b.cfg.ShutdownTimeout, items)
}

func (b *batcher) beginShutdown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing = true
	for len(b.waitingStreams) > 0 {
		b.telemetry.refused(reasonShutdown)
		b.expel(b.waitingStreams[0].waiting.first.of, errShutDown)
	}
	now := time.Now()
	for _, s := range b.streams {
		b.schedule(s, now)
	}
	b.checkDrained()
}

// giveUp answers everybody who still waits, and cancels what is in flight. It returns the number of items without a result.
func (b *batcher) giveUp() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := 0
	for _, s := range b.streams {
		for _, p := range s.take(0, 0) {
			items += p.items
			p.payload.free()
			b.release(s, p.bytes)
			b.partDone(p, errNotSent)
		}
	}
	for b.held.first != nil {
		b.expel(b.held.first.of, errNotSent)
	}
	b.cancelBase()
	b.checkDrained()
	return items
}

// checkDrained ends the wait of Shutdown when nothing is left.
func (b *batcher) checkDrained() {
	if !b.closing || b.inFlight.Exports > 0 || b.pending > 0 {
		return
	}
	b.drainedOnce.Do(func() {
		for _, s := range b.streams {
			if s.timer != nil {
				s.timer.Stop()
			}
		}
		if b.sweep != nil {
			b.sweep.Stop()
		}
		close(b.drained)
	})
}
