package adaptivebatch

import (
	"context"

	"go.opentelemetry.io/collector/consumer/consumererror"
)

// bufferSize is the memory of the calls that were encoded on arrival.
func (b *batcher) bufferSize() int64 {
	if b.buffers == nil {
		return 0
	}
	s := b.buffers.Stats()
	return s.InUseBytes + s.IdleBytes
}

// consumeDecoded takes a caller's pdata. Where nothing behind this processor looks into it, it is encoded here and now: it has just been
// made and is in the processor's cache, its size has to be known anyway, and what waits for its batch and its answer is then the
// bytes, not some ten times as much memory in many small objects for the garbage collector to look at.
func consumeDecoded[T any](ctx context.Context, b *batcher, s *decodedSignal[T], data T, send func(context.Context) error) error {
	if !b.cfg.encodes() {
		return b.consume(ctx, s.payload(data), decodedKind, nil)
	}
	request, err := s.encode(data, b.buffers)
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	defer request.Free()
	taken := false
	err = b.consume(ctx, newEncoded(request, send), encodedKind, func() {
		taken = true
		// The caller's frames keep data alive until the answer, though it belongs to this processor, which mutates.
		s.move(s.empty(), data)
	})
	if err == nil || !taken || consumererror.IsPermanent(err) || ctx.Err() != nil {
		return err
	}
	// A component of this process may try again with the same value, which must not be empty then: it would be acknowledged, and lost.
	if again, decodeErr := s.decode(request); decodeErr == nil {
		s.move(data, again)
	}
	return err
}
