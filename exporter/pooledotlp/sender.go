package pooledotlp

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.uber.org/zap"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/compression"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

var errNotStarted = errors.New("the exporter is not started")

// transport carries payloads to the backend.
type transport interface {
	start(ctx context.Context, host component.Host) error
	// send makes one try. It borrows the payload; compressed says whether the payload is compressed by this exporter.
	send(ctx context.Context, payload mem.BufferSlice, compressed bool) (partialSuccess, verdict)
	stats() connpool.Stats
	shutdown() error
}

// sender makes the tries to send requests, and tells about them. It is safe for concurrent use.
type sender struct {
	cfg       *Config
	logger    *zap.Logger
	buffers   mem.BufferPool
	transport transport
	telemetry *telemetry
	backend   *backend
	partials  partialLog

	// compressor is nil when the exporter does not compress.
	compressor *compression.Compressor
	fallback   compressionFallback
}

func newSender(cfg *Config, set exporter.Settings, signal wire.Signal, pooled *bufpool.Pool) (*sender, error) {
	s := &sender{cfg: cfg, logger: set.Logger, backend: newBackend(set.Logger), partials: partialLog{logger: set.Logger}}
	var transportBuffers mem.BufferPool
	if pooled != nil {
		s.buffers, transportBuffers = pooled, pooled
	}
	var err error
	if cfg.ownCompression() {
		if s.compressor, err = compression.For(cfg.algorithm(), cfg.CompressionParams.Level); err != nil {
			return nil, err
		}
	}
	if cfg.Protocol == ProtocolGRPC {
		s.transport = newGRPCTransport(cfg, set, signal, transportBuffers)
	} else if s.transport, err = newHTTPTransport(cfg, set, signal); err != nil {
		return nil, err
	}
	s.telemetry, err = newTelemetry(set, signal, s.transport.stats, pooled)
	return s, err
}

func (s *sender) start(ctx context.Context, host component.Host) error {
	s.backend.host = host
	return s.transport.start(ctx, host)
}

func (s *sender) shutdown() error {
	s.telemetry.shutdown()
	return s.transport.shutdown()
}

// send makes one try to send a request, or two when the backend may not know the compression.
func (s *sender) send(ctx context.Context, r *request) error {
	r.attempts++
	if r.attempts > 1 {
		s.telemetry.retried(ctx)
	}
	plain, err := s.plain(r)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	defer plain.Free()
	if s.compressor == nil || plain.Len() < s.cfg.CompressionMinSize {
		return s.try(ctx, r, plain, plain.Len(), false).err
	}
	compress, probe := s.fallback.choose()
	if !compress {
		return s.try(ctx, r, plain, plain.Len(), false).err
	}

	start := time.Now()
	buffer, err := s.compressor.Compress(plain, s.buffers)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	s.telemetry.compressed(ctx, time.Since(start))
	v := s.try(ctx, r, mem.BufferSlice{buffer}, plain.Len(), true)
	buffer.Free()
	switch {
	case v.mayBeCompression:
		if v = s.try(ctx, r, plain, plain.Len(), false); v.outcome == attempt.Accepted {
			s.compressionRefused(ctx, probe)
		}
	case probe && v.outcome == attempt.Accepted:
		s.fallback.accepted()
		s.logger.Info("The backend takes the compression again.", zap.String("compression", string(s.cfg.Compression)))
	}
	return v.err
}

// plain returns the uncompressed payload, with references of its own.
func (s *sender) plain(r *request) (mem.BufferSlice, error) {
	if s.cfg.Protocol != ProtocolHTTPJSON {
		plain := r.wire.Buffers()
		plain.Ref()
		return plain, nil
	}
	b, err := marshalJSON(r.wire)
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

// try makes one try with one form of a request, whose size before compression is plainBytes.
func (s *sender) try(ctx context.Context, r *request, payload mem.BufferSlice, plainBytes int, compressed bool) verdict {
	start := time.Now()
	response, v := s.transport.send(ctx, payload, compressed)
	a := attempt.Attempt{Items: r.wire.Items(), Bytes: payload.Len(), Latency: time.Since(start), Outcome: v.outcome, RetryAfter: v.delay}
	attempt.Report(ctx, a)
	s.telemetry.attempted(ctx, a, plainBytes)
	s.backend.observe(v, a.Latency)
	if v.outcome == attempt.Accepted {
		// A backend may say what it likes, and counters only grow.
		response.rejected = min(max(response.rejected, 0), int64(a.Items))
		s.telemetry.accepted(ctx, int64(a.Items)-response.rejected)
		if !response.empty() {
			s.telemetry.partialSuccess(ctx, response.rejected)
			s.partials.add(response, time.Now())
		}
	}
	return v
}

// compressionRefused remembers that the backend does not know the compression.
func (s *sender) compressionRefused(ctx context.Context, probe bool) {
	s.telemetry.compressionRefused(ctx)
	if s.fallback.refused(probe) {
		s.logger.Warn("The backend refuses the compression and takes uncompressed requests. Sending uncompressed, and trying again later.",
			zap.String("compression", string(s.cfg.Compression)), zap.Stringer("later", fallbackTime))
	}
}

// dropped counts items that the queue gives up. Those whose retries the shutdown has ended stay in a queue on disk.
func (s *sender) dropped(err error, items int) {
	reason := dropRetriesExhausted
	switch {
	case errors.As(err, &tooLargeError{}):
		reason = dropTooLarge
	case consumererror.IsPermanent(err):
		reason = dropRejected
	case endedByShutdown(err) && s.cfg.persistent():
		return
	case endedByShutdown(err):
		reason = dropShutdown
	}
	s.telemetry.dropped(context.Background(), reason, items)
}

// undecodable counts a record on disk that cannot be read: one, as nobody knows how many items were in it.
func (s *sender) undecodable(err error) {
	s.logger.Error("A request on disk cannot be read and is dropped.", zap.Error(err))
	s.telemetry.dropped(context.Background(), dropUndecodable, 1)
}
