package pooledotlp

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/attribute"
	"go.uber.org/zap"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// otlpExporter exports one signal. A request goes one of two ways to the sender:
//
//	queued:  queue, then retry and time-out, then sender
//	direct:  retry and time-out, then sender
//
// The direct way is for callers that are a queue themselves and wait for the answer, and for configurations without a
// queue.
type otlpExporter struct {
	cfg     *Config
	buffers mem.BufferPool
	pooled  *bufpool.Pool // nil with optimizations off
	sender  *sender

	// direct is absent when the queue is on disk: then the answer means "on disk", whoever asks.
	direct *chain
	// queued ends in afterQueue, which retries. They are two because the queue's batcher makes requests that nobody
	// releases: only around a whole row of retries is the time to do it known.
	queued, afterQueue *chain

	shutdownOnce sync.Once
	shutdownErr  error
}

func newOTLPExporter(set exporter.Settings, cfg *Config, signal wire.Signal) (*otlpExporter, error) {
	// The Collector's helper logs an error for each request that it gives up. Its stack is always the same thirty lines, among which the one
	// that says that the backend is away would not be found.
	set.Logger = set.Logger.WithOptions(zap.AddStacktrace(zap.DPanicLevel))
	e := &otlpExporter{cfg: cfg, buffers: mem.NopBufferPool{}}
	if cfg.Optimizations == OptimizationsAll {
		e.pooled = bufpool.New(bufpool.Config{MaxIdleBytes: cfg.Buffers.MaxIdleBytes, TTL: cfg.Buffers.TTL})
		e.buffers = e.pooled
	}
	var err error
	if e.sender, err = newSender(cfg, set, signal, e.pooled); err != nil {
		return nil, err
	}
	return e, e.buildChains(set, signal)
}

func (e *otlpExporter) buildChains(set exporter.Settings, signal wire.Signal) error {
	cfg := e.cfg
	attempts := []exporterhelper.Option{
		exporterhelper.WithTimeout(cfg.TimeoutConfig),
		exporterhelper.WithRetry(cfg.RetryConfig),
	}
	front := []exporterhelper.Option{exporterhelper.WithAttrs(endpointAttributes(cfg, signal)...)}
	if !cfg.persistent() {
		direct, err := newChain(signal, set, e.sender.send, append(front, attempts...)...)
		if err != nil {
			return err
		}
		e.direct = &direct
	}
	if !cfg.QueueConfig.HasValue() {
		return nil
	}
	after, err := newChain(signal, withoutOwnTelemetry(set), e.sender.send, attempts...)
	if err != nil {
		return err
	}
	e.afterQueue = &after
	queued, err := newChain(signal, set, e.sendQueued, append(front,
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}), // the time-out is for each try, not for all of them
		queueOption(cfg, queueEncoding{signal: signal, buffers: e.buffers, undecodable: e.sender.undecodable}))...)
	if err != nil {
		return err
	}
	e.queued = &queued
	return nil
}

// sendQueued is what the queue calls once for each request, or for each batch of them.
func (e *otlpExporter) sendQueued(ctx context.Context, r *request) error {
	if e.cfg.QueueConfig.Get().Batch.HasValue() {
		defer r.release() // see request.MergeSplit
	}
	return e.deliver(ctx, e.afterQueue, r, func(err error, items int) {
		if !e.cfg.QueueConfig.Get().WaitForResult {
			e.sender.dropped(err, items)
		}
	})
}

// deliver sends a request, in halves if the backend says that it is too large. failed is told of each part that was not
// delivered.
func (e *otlpExporter) deliver(ctx context.Context, c *chain, r *request, failed func(err error, items int)) error {
	err := c.send(ctx, r)
	if err == nil {
		return nil
	}
	if !errors.As(err, &tooLargeError{}) || r.ItemsCount() < 2 {
		failed(err, r.ItemsCount())
		return err
	}
	halves := r.wire.Clone()
	parts, splitErr := split(halves, (r.ItemsCount()+1)/2, 0, e.buffers)
	if splitErr != nil || len(parts) < 2 {
		if splitErr != nil {
			halves.Free()
		}
		for _, part := range parts { // one, which may be a new one
			part.Free()
		}
		failed(err, r.ItemsCount())
		return err
	}
	var errs []error
	for _, part := range parts {
		half := newRequest(part, e.buffers)
		errs = append(errs, e.deliver(ctx, c, half, failed))
		half.release()
	}
	// A caller that is told not to send again would lose what only failed for a time.
	if err := errors.Join(slices.DeleteFunc(slices.Clone(errs), consumererror.IsPermanent)...); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// consume takes over w.
func (e *otlpExporter) consume(ctx context.Context, w *wire.Request) error {
	r := newRequest(w, e.buffers)
	defer r.release()
	if e.cfg.persistent() {
		// What could not be read again is refused before the queue has made room for it, which it would not give back: pdata accepts values that
		// are nested more deeply than wire.Check does.
		if _, err := wire.Check(w.Signal(), w.Buffers()); err != nil {
			return consumererror.NewPermanent(err)
		}
	}
	switch {
	case e.direct != nil && attempt.Observed(ctx):
		return e.direct.send(ctx, r) // a batcher divides its batch by caller, and not in halves
	case e.queued != nil:
		return e.queued.send(ctx, r)
	default:
		return e.deliver(ctx, e.direct, r, func(error, int) {})
	}
}

// Capabilities says that pdata is only read: it is encoded on the way in.
func (*otlpExporter) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: false}
}

// Start connects, then lets the queue send.
func (e *otlpExporter) Start(ctx context.Context, host component.Host) error {
	if err := e.sender.start(ctx, host); err != nil {
		return err
	}
	if e.pooled != nil {
		e.pooled.LeaveOutOfHeadroom()
	}
	for _, c := range []*chain{e.direct, e.afterQueue} {
		if c == nil {
			continue
		}
		if err := c.Start(ctx, host); err != nil {
			return err
		}
	}
	switch {
	case e.queued == nil:
		return nil
	case !e.cfg.persistent():
		return e.queued.Start(ctx, host)
	}
	disk := newQueueHost(host, *e.cfg.QueueConfig.Get().StorageID, e.sender.logger)
	if err := e.queued.Start(ctx, disk); err != nil {
		return err
	}
	return disk.started(ctx)
}

// Shutdown stops the retries, lets the queue send what it holds once more each, then disconnects.
func (e *otlpExporter) Shutdown(ctx context.Context) error {
	e.shutdownOnce.Do(func() {
		var errs []error
		for _, c := range []*chain{e.direct, e.afterQueue, e.queued} {
			if c != nil {
				errs = append(errs, c.Shutdown(ctx))
			}
		}
		errs = append(errs, e.sender.shutdown())
		if e.pooled != nil {
			e.pooled.Close()
		}
		e.shutdownErr = errors.Join(errs...)
	})
	return e.shutdownErr
}

type (
	tracesExporter   struct{ *otlpExporter }
	metricsExporter  struct{ *otlpExporter }
	logsExporter     struct{ *otlpExporter }
	profilesExporter struct{ *otlpExporter }
)

// ConsumeTraces implements consumer.Traces.
func (e tracesExporter) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	w, err := e.encodeTraces(ctx, td)
	if err != nil {
		return err
	}
	return e.consume(ctx, w)
}

// ConsumeMetrics implements consumer.Metrics.
func (e metricsExporter) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	w, err := e.encodeMetrics(ctx, md)
	if err != nil {
		return err
	}
	return e.consume(ctx, w)
}

// ConsumeLogs implements consumer.Logs.
func (e logsExporter) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	w, err := e.encodeLogs(ctx, ld)
	if err != nil {
		return err
	}
	return e.consume(ctx, w)
}

// ConsumeProfiles implements xconsumer.Profiles.
func (e profilesExporter) ConsumeProfiles(ctx context.Context, pd pprofile.Profiles) error {
	w, err := wire.FromProfiles(pd, e.buffers)
	if err != nil {
		return err
	}
	return e.consume(ctx, w)
}

// endpointAttributes name the backend on the exporter helper's metrics, as the stock exporters do.
func endpointAttributes(cfg *Config, signal wire.Signal) []attribute.KeyValue {
	address := cfg.GRPC.Endpoint
	var attributes []attribute.KeyValue
	if cfg.Protocol != ProtocolGRPC {
		u, err := cfg.HTTP.signalURL(signal)
		if err != nil {
			return nil // the sender has reported it
		}
		address = u.Host
		if u.Path != "" {
			attributes = append(attributes, attribute.String("url.path", u.Path))
		}
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return append(attributes, attribute.String("server.address", address))
	}
	attributes = append(attributes, attribute.String("server.address", host))
	if number, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, attribute.Int("server.port", number))
	}
	return attributes
}
