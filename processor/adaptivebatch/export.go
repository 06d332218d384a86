package adaptivebatch

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/otel/trace"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// batch is a closed batch on its way.
type batch struct {
	stream *stream
	parts  []*part
	items  int
	bytes  int64
	ctx    context.Context
	cancel context.CancelFunc
	// among is the number of batches, itself included, that the backend had to work on when it was closed.
	among int
	// wanted counts the parts without a result that somebody waits for; guarded by the batcher's mutex. When the last of these leave, the
	// batch is cancelled.
	wanted int
	// attempts counts what the exporter reported; guarded by the batcher's mutex.
	attempts int
	// retries says that its last attempt failed and it waits for the exporter's next; ended, that it has its result. Both
	// are guarded by the batcher's mutex.
	retries, ended bool
	// peace ends when the backend that has refused it may be sent to again; nil if none asked for time. It is guarded by the batcher's mutex.
	peace *time.Timer
}

// maxLinks is the SDK's default limit of links per span.
const maxLinks = 128

// export sends a batch and answers its callers. It runs in a goroutine that waits for nothing else.
func (b *batcher) export(e *batch) {
	defer e.cancel()
	payloads := make([]payload, len(e.parts))
	for i, p := range e.parts {
		payloads[i] = p.payload
	}
	content := payloads[0].join(payloads)
	ctx, span := b.spanOf(client.NewContext(e.ctx, e.stream.client), e)
	sender := &isolation{
		content: content,
		left:    len(e.parts),
		items:   func(i int) int { return e.parts[i].items },
		ctx:     attempt.NewContext(ctx, func(a attempt.Attempt) { b.observe(e, a) }),
		sent:    func(items int, took time.Duration, err error) { b.sent(e, items, took, err) },
		wanted:  func(from, to int) bool { return b.isWanted(e, from, to) },
		settled: func(r result) { b.settled(e, r) },
	}
	last := sender.all()
	span.End()
	content.free()
	b.telemetry.isolated(sender.repeats)
	b.finish(e, last)
}

// spanOf starts the batch's span, with a link to the span of each producer. Without any there is no span.
func (b *batcher) spanOf(ctx context.Context, e *batch) (context.Context, trace.Span) {
	var links []trace.Link
	for _, p := range e.parts {
		if sc := trace.SpanContextFromContext(p.call.ctx); sc.IsValid() && len(links) < maxLinks {
			links = append(links, trace.Link{SpanContext: sc})
		}
	}
	if links == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	return b.telemetry.tracer.Start(ctx, "adaptivebatch/export", trace.WithLinks(links...))
}

// observe hands an attempt that the exporter reports to the controller. It may come after the batch has ended.
func (b *batcher) observe(e *batch, a attempt.Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.attempts++
	if e.peace != nil {
		e.peace.Stop() // it was for the attempt before, and would keep the batch for as long as that asked for
	}
	if !e.ended {
		b.retrying(e, a.Outcome == attempt.Unavailable || a.Outcome == attempt.DeadlineExceeded)
	}
	b.learn(e, a)
	if !e.ended && a.Outcome == attempt.Overloaded && a.RetryAfter > 0 {
		tries := e.attempts
		e.peace = time.AfterFunc(a.RetryAfter, func() { b.afterPeace(e, tries) })
	}
}

// afterPeace frees the slot of a batch that an overloaded backend refused: until then the batch keeps it, for as long as the backend has asked,
// or where it did not say until the next try. The exporter's back-off may well be longer, and others need not wait for that.
func (b *batcher) afterPeace(e *batch, tries int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !e.ended && e.attempts == tries {
		b.retrying(e, true)
		b.dispatchDue(time.Now())
	}
}

// retrying notes whether a batch waits for its retry. While it does the backend does not work on it.
func (b *batcher) retrying(e *batch, waits bool) {
	if e.retries == waits {
		return
	}
	e.retries = waits
	if waits {
		b.inFlight.Retrying++
	} else {
		b.inFlight.Retrying--
	}
}

// sent is told of every call of the next component. Where that reports no attempts, the call itself is the attempt.
func (b *batcher) sent(e *batch, items int, took time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.attempts > 0 {
		return
	}
	if b.async.answered(took, err) {
		b.control.AnswersAtOnce()
		b.logger.Info("The next component answers before it has sent anything, as an asynchronous queue does. " +
			"There is no latency to adapt to: batches become larger only when it refuses one because it is full.")
	}
	b.learn(e, attempt.Attempt{Items: items, Bytes: int(e.bytes), Latency: took, Outcome: outcomeOf(err)})
}

func (b *batcher) learn(e *batch, a attempt.Attempt) {
	working := max(1, b.inFlight.Exports-b.inFlight.Retrying)
	o := controller.Observation{Attempt: a, InFlight: working, Among: e.among, Now: time.Now()}
	b.control.Observe(o)
	b.decisions.decided(b.control.Decision(), o)
	b.decided()
}

// asyncDetector notices a next component that answers without waiting for anybody.
type asyncDetector struct {
	quick int
	found bool
}

const (
	// quickAnswer is shorter than any round trip through a socket, and longer than putting a batch into a queue.
	quickAnswer = 50 * time.Microsecond
	// quickAnswers in a row are no coincidence.
	quickAnswers = 32
)

// answered reports, once, that the next component turned out to be asynchronous.
func (d *asyncDetector) answered(took time.Duration, err error) bool {
	if d.found || err != nil {
		return false
	}
	if took > quickAnswer {
		d.quick = 0
		return false
	}
	d.quick++
	d.found = d.quick >= quickAnswers
	return d.found
}
