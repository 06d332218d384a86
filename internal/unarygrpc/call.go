package unarygrpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/guarded"
)

// begin handles a call whose message is complete, in a goroutine that is not the connection's.
func (c *conn) begin(s *stream) {
	var ctx context.Context
	var cancel context.CancelFunc
	if s.deadline.IsZero() {
		ctx, cancel = context.WithCancel(c.ctx)
	} else {
		ctx, cancel = context.WithDeadline(c.ctx, s.deadline)
	}
	c.mu.Lock()
	s.begun, s.cancel = true, cancel
	c.calls++
	c.mu.Unlock()
	c.server.workers.Do(task{conn: c, stream: s, ctx: ctx})
}

// task is a call to handle.
type task struct {
	conn   *conn
	stream *stream
	ctx    context.Context
}

func (t task) run() { t.conn.run(t.ctx, t.stream) }

func (c *conn) run(ctx context.Context, s *stream) {
	err := c.handle(ctx, s)
	s.cancel()
	c.mu.Lock()
	c.calls--
	if c.streams[s.id] == s {
		c.answer(s, err)
	}
	c.checkDrained()
	c.output.room.Broadcast()
	c.mu.Unlock()
	c.flush()
}

func (c *conn) handle(ctx context.Context, s *stream) error {
	message, reserved := s.message.Take()
	defer func() {
		message.Free()
		reserved.End()
	}()
	if err := ctx.Err(); err != nil {
		return err // nobody waits for it any more, or never did
	}
	if incoming := c.server.cfg.Incoming; incoming != nil {
		var err error
		if ctx, err = incoming(metadata.NewIncomingContext(ctx, s.metadata), s.metadata); err != nil {
			if _, has := status.FromError(err); has {
				return err
			}
			return status.Error(codes.Unauthenticated, err.Error())
		}
	}
	if s.compressed() {
		plain, err := decompress(s.encoding, message, &c.server.cfg, &reserved)
		message.Free()
		if message = plain; err != nil {
			c.server.countUnreadable(status.Code(err))
			return err
		}
	}
	reserved.End() // whoever handles it has bounds of its own
	return s.method.Handle(ctx, message)
}

// decompress returns a message as it was before its client compressed it, with references of its own.
func decompress(name string, message mem.BufferSlice, cfg *Config, reserved *bufpool.Reservation) (mem.BufferSlice, error) {
	source := message.Reader()
	defer func() { _ = source.Close() }()
	plain, err := guarded.Open(func() (io.Reader, error) { return encoding.GetCompressor(name).Decompress(source) })
	if err != nil {
		return nil, status.Errorf(codes.Internal, "decompressing the message with %q: %v", name, err)
	}
	defer func() { _ = plain.Close() }()
	limit := cfg.MaxMessageBytes
	out, err := bufpool.ReadAll(io.LimitReader(plain, int64(limit)+1), cfg.Buffers, reserved)
	switch {
	case errors.Is(err, bufpool.ErrNoRoom):
		return nil, status.Error(codes.Unavailable, err.Error())
	case err != nil:
		return nil, status.Errorf(codes.Internal, "decompressing the message with %q: %v", name, err)
	case out.Len() > limit:
		out.Free()
		return nil, status.Errorf(codes.ResourceExhausted, "received message after decompression larger than max %d", limit)
	}
	return out, nil
}
