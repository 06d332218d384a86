package adaptivebatch

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/workers"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// batcher collects calls into batches and answers them. One mutex guards all of its state: what is done under it is a few
// appends and comparisons per call, never encoding, sending or waiting.
type batcher struct {
	cfg       *Config
	logger    *zap.Logger
	telemetry *telemetry
	// base is the parent of every batch's context; it is cancelled when the shutdown takes too long.
	base       context.Context
	cancelBase context.CancelFunc
	exports    *workers.Pool[departure]
	// buffers hold calls that are encoded on arrival; nil where they stay as they come.
	buffers *bufpool.Pool
	// ceiling is the decision's, for splitting calls before the mutex is taken.
	ceiling atomic.Int64

	mu        sync.Mutex
	control   *controller.Controller
	decisions decisionLog
	async     asyncDetector
	streams   map[string]*stream
	// due are the streams that only lack a free slot, in the order in which they became due.
	due      []*stream
	inFlight controller.InFlight

	pending        int64 // bytes admitted whose batch has not ended
	waitingStreams []*stream
	waitingCalls   int
	waitingBytes   int64

	held     list[call] // the calls that wait for their answer, in order of arrival
	sweep    *time.Timer
	sweeping bool // the timer is set

	closing bool
	// drained is closed when, while closing, nothing is left.
	drained     chan struct{}
	drainedOnce sync.Once
}

func newBatcher(cfg *Config, logger *zap.Logger, t *telemetry) *batcher {
	b := &batcher{cfg: cfg, logger: logger, telemetry: t, streams: map[string]*stream{}, drained: make(chan struct{})}
	b.decisions.logger = logger
	b.base, b.cancelBase = context.WithCancel(context.Background())
	b.exports = workers.New(b.depart)
	b.control = controller.New(controller.Config{
		Adaptive: cfg.Adaptive, StartItems: cfg.trigger(), MinItems: int(cfg.SendBatchMinSize), MaxItems: int(cfg.SendBatchMaxSize),
		Timeout: cfg.Timeout, MaxConcurrency: cfg.MaxConcurrency, CallersWait: cfg.WaitForResult,
	})
	if cfg.encodes() {
		b.buffers = bufpool.New(bufpool.DefaultConfig())
	}
	b.decided()
	return b
}

// decided takes over a new decision.
func (b *batcher) decided() {
	d := b.control.Decision()
	b.ceiling.Store(int64(d.Ceiling))
	b.dispatchDue(time.Now())
}

// consume takes a caller's payload and returns its answer. taken, if not nil, is called once the call is let in or waits at the door.
func (b *batcher) consume(ctx context.Context, p payload, kind payloadKind, taken func()) error {
	items := p.items()
	if items == 0 {
		p.free()
		return nil
	}
	c := &call{ctx: ctx, answer: make(chan error, 1), arrived: time.Now()}
	pieces := []payload{p}
	maxItems, maxBytes := int(b.ceiling.Load()), int(b.cfg.SendBatchMaxBytes)
	if maxItems > 0 && items > maxItems || maxBytes > 0 && p.bytes() > maxBytes {
		var err error
		if pieces, err = p.split(maxItems, maxBytes); err != nil {
			p.free()
			return err
		}
	}
	c.carry(pieces)
	key, info := streamKey(ctx, b.cfg.MetadataKeys, kind)
	if err := b.accept(c, key, info); err != nil {
		c.free()
		return err
	}
	if taken != nil {
		taken()
	}
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		return b.leave(c, errLeft(context.Cause(ctx)))
	}
}

func (b *batcher) accept(c *call, key string, info client.Info) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		b.telemetry.refused(reasonShutdown)
		return errShutDown
	}
	s := b.streams[key]
	if s == nil {
		if len(b.cfg.MetadataKeys) > 0 && !b.makeRoom() {
			b.telemetry.refused(reasonCardinality)
			return errTooManyStreams(int(b.cfg.MetadataCardinalityLimit))
		}
		s = &stream{key: key, client: info}
		b.streams[key] = s
	}
	s.used = c.arrived
	c.stream = s
	return b.admit(c)
}

// makeRoom reports whether one more stream may be opened, after it has closed the one that was idle longest if need be.
func (b *batcher) makeRoom() bool {
	limit := int(b.cfg.MetadataCardinalityLimit)
	if limit == 0 || len(b.streams) < limit {
		return true
	}
	var oldest *stream
	for _, s := range b.streams {
		if s.idle() && (oldest == nil || s.used.Before(oldest.used)) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	if oldest.timer != nil {
		oldest.timer.Stop()
	}
	delete(b.streams, oldest.key)
	b.telemetry.evicted()
	return true
}

// schedule sends what is ready of a stream, or sets the time at which to look again.
func (b *batcher) schedule(s *stream, now time.Time) {
	for s.queue.length > 0 && !s.due && !s.starting {
		d := b.control.Decision()
		trigger, wait := b.trigger(s, now, d)
		if trigger == "" {
			b.arm(s, now.Add(wait))
			return
		}
		if !d.Free(b.inFlight, s.items) {
			s.due, s.dueSince = true, now
			b.due = append(b.due, s)
			return
		}
		b.control.Waited(0)
		b.dispatch(s, trigger, d)
	}
}

// trigger says why a batch is ready, or how long to wait until it is.
func (b *batcher) trigger(s *stream, now time.Time, d controller.Decision) (string, time.Duration) {
	age := now.Sub(s.queue.first.of.call.entered)
	switch {
	case b.closing:
		return triggerShutdown, 0
	case s.items >= d.Target:
		return triggerSize, 0
	case b.cfg.SendBatchMaxBytes > 0 && s.bytes >= b.cfg.SendBatchMaxBytes:
		return triggerBytes, 0
	case age >= b.cfg.Timeout:
		return triggerTimeout, 0
	}
	held := s.held
	if !b.cfg.WaitForResult {
		held = -1 // nobody waits, so nobody is kept from sending
	}
	wait := s.arrivals.Wait(now, controller.Waiting{
		Age: age, Items: s.items, Held: held, InFlight: b.inFlight, Timeout: b.cfg.Timeout,
	}, d)
	if wait <= 0 {
		return triggerIdleSlot, 0
	}
	return "", wait
}

// arm lets the stream be looked at again, not later than at the given time.
func (b *batcher) arm(s *stream, at time.Time) {
	if !s.armedAt.IsZero() && !s.armedAt.After(at) {
		return
	}
	s.armedAt = at
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(at), func() { b.wake(s) })
		return
	}
	s.timer.Reset(time.Until(at))
}

func (b *batcher) wake(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.armedAt = time.Time{}
	b.schedule(s, time.Now())
}

// dispatchDue fills free slots from the streams that wait for one.
func (b *batcher) dispatchDue(now time.Time) {
	for len(b.due) > 0 {
		d := b.control.Decision()
		s := b.due[0]
		if s.queue.length > 0 && !d.Free(b.inFlight, s.items) {
			return
		}
		b.due = b.due[1:]
		s.due = false
		if s.queue.length == 0 {
			continue // its callers have left
		}
		trigger, _ := b.trigger(s, now, d)
		if trigger == "" {
			trigger = triggerIdleSlot
		}
		b.control.Waited(now.Sub(s.dueSince))
		b.dispatch(s, trigger, d)
		b.schedule(s, now)
	}
	b.due = nil // lets go of the array
}

// dispatch sends the stream's next batch. A full one is closed at once, any other when its goroutine gets to run.
func (b *batcher) dispatch(s *stream, trigger string, d controller.Decision) {
	b.inFlight.Exports++
	if s.items >= d.Target {
		b.exports.Do(departure{batch: b.close(s, trigger)})
		return
	}
	s.starting = true
	b.exports.Do(departure{stream: s, trigger: trigger})
}

// departure is a batch to export, or the stream whose next batch is to be closed first.
type departure struct {
	batch   *batch
	stream  *stream
	trigger string
}

func (b *batcher) depart(d departure) {
	if d.batch == nil {
		d.batch = b.closeLate(d.stream, d.trigger)
	}
	if d.batch != nil {
		b.export(d.batch)
	}
}

// close takes the stream's next batch out of its queue.
func (b *batcher) close(s *stream, trigger string) *batch {
	e := &batch{
		stream: s, parts: s.take(b.control.Decision().Size(s.items), b.cfg.SendBatchMaxBytes),
		among: b.inFlight.Exports - b.inFlight.Retrying,
	}
	for _, p := range e.parts {
		e.items += p.items
		e.bytes += p.bytes
	}
	e.wanted = len(e.parts)
	e.ctx, e.cancel = context.WithCancel(b.base)
	for _, p := range e.parts {
		p.call.addBatch(e)
	}
	b.telemetry.closed(trigger, e.items, e.bytes)
	return e
}

// closeLate closes a batch that is not full after every goroutine that can run has run: while the processors are busy, calls
// that have arrived but were not yet heard join it, so that more of them share what a request costs. While a processor is idle
// it waits for nothing. It returns nil if all callers have left meanwhile.
func (b *batcher) closeLate(s *stream, trigger string) *batch {
	runtime.Gosched()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.starting = false
	now := time.Now()
	if s.queue.length == 0 {
		b.inFlight.Exports--
		b.dispatchDue(now)
		b.checkDrained()
		return nil
	}
	e := b.close(s, trigger)
	b.schedule(s, now)
	return e
}
