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
		taken := s.take(data)
		err := b.consume(ctx, taken, decodedKind, nil)
		if mayComeAgain(ctx, err) {
			taken.giveBack(data)
		}
		return err
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
	if !taken || !mayComeAgain(ctx, err) {
		return err
	}
	if again, decodeErr := s.decode(request); decodeErr == nil {
		s.move(data, again)
	}
	return err
}

// mayComeAgain reports whether a component of this process may try again with the same value, as receivers of logs with retry_on_failure
// do. It must not be empty then: it would be acknowledged, and lost.
func mayComeAgain(ctx context.Context, err error) bool {
	return err != nil && !consumererror.IsPermanent(err) && ctx.Err() == nil
}
