package adaptivebatch

import (
	"context"

	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// encoded is a caller's request on the byte path. It holds references of its own: the caller's end with its call.
type encoded struct {
	request *wire.Request
	consume func(ctx context.Context) error // the next consumer, called with the signal's marker
}

func newEncoded(r *wire.Request, consume func(context.Context) error) payload {
	return &encoded{request: r.Clone(), consume: consume}
}

func (e *encoded) items() int { return e.request.Items() }
func (e *encoded) bytes() int { return e.request.Bytes() }
func (e *encoded) free()      { e.request.Free() }

func (e *encoded) split(maxItems, maxBytes int) ([]payload, error) {
	// The pool only serves resources and scopes where they are divided.
	requests, err := e.request.Split(maxItems, maxBytes, mem.DefaultBufferPool())
	if err != nil {
		return nil, err
	}
	out := make([]payload, len(requests))
	for i, r := range requests {
		out[i] = &encoded{request: r, consume: e.consume}
	}
	return out, nil
}

func (e *encoded) join(all []payload) content {
	parts := make([]*wire.Request, len(all))
	for i, p := range all {
		parts[i] = p.(*encoded).request
	}
	return &encodedContent{parts: parts, consume: e.consume}
}

type encodedContent struct {
	parts   []*wire.Request
	consume func(ctx context.Context) error
}

// send joins references: no byte of the requests is copied or looked at.
func (c *encodedContent) send(ctx context.Context, from, to int) error {
	joined := c.parts[from].Clone()
	defer joined.Free()
	for _, p := range c.parts[from+1 : to] {
		joined.Append(p.Clone())
	}
	ctx = bytepath.NewContext(ctx, joined)
	return bytepath.Confirm(ctx, c.consume(ctx))
}

func (c *encodedContent) divide(i, maxItems int) ([]payload, error) {
	e := &encoded{request: c.parts[i].Clone(), consume: c.consume}
	out, err := e.split(maxItems, 0)
	if err != nil {
		e.free()
	}
	return out, err
}

func (c *encodedContent) free() {
	for _, p := range c.parts {
		p.Free()
	}
}
