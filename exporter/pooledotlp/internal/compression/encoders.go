package compression

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow matches what the Collector's own gRPC zstd uses: batches are smaller than zstd's usual window, and the memory
// of an encoder follows the window.
const zstdWindow = 512 << 10

func newEncoders(algorithm Algorithm, level, limit int) (encoders, error) {
	switch algorithm {
	case Gzip:
		return newStreamEncoders(limit, func() (stream, error) { return gzip.NewWriterLevel(io.Discard, level) }), nil
	case Brotli:
		return newStreamEncoders(limit, func() (stream, error) { return brotli.NewWriterLevel(io.Discard, level), nil }), nil
	case Snappy:
		return newStreamEncoders(limit, func() (stream, error) {
			return s2.NewWriter(io.Discard, s2.WriterSnappyCompat(), s2.WriterConcurrency(1)), nil
		}), nil
	case SnappyBlock:
		return snappyBlocks{}, nil
	default:
		// EncodeAll is safe for concurrent use and holds the bound itself, so one encoder serves everybody.
		enc, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(limit),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true))
		return zstdEncoder{enc}, err
	}
}

type zstdEncoder struct{ *zstd.Encoder }

func (e zstdEncoder) encode(dst, src []byte) ([]byte, error) { return e.EncodeAll(src, dst), nil }

// snappyBlocks needs no bound: the block encoder keeps its table on the stack.
type snappyBlocks struct{}

func (snappyBlocks) encode(dst, src []byte) ([]byte, error) {
	if need := s2.MaxEncodedLen(len(src)); cap(dst) < need {
		dst = make([]byte, 0, need)
	}
	return s2.EncodeSnappy(dst[:cap(dst)], src), nil
}

// stream is an encoder that writes to a writer and can be used again.
type stream interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// streamEncoders is a bounded set of stream encoders.
type streamEncoders struct {
	// slots holds the idle encoders, and nil for each that has not been needed yet. Its capacity is the bound.
	slots chan stream
	open  func() (stream, error)
}

func newStreamEncoders(limit int, open func() (stream, error)) *streamEncoders {
	e := &streamEncoders{slots: make(chan stream, limit), open: open}
	for range limit {
		e.slots <- nil
	}
	return e
}

func (e *streamEncoders) encode(dst, src []byte) ([]byte, error) {
	s := <-e.slots
	// The encoder must not keep the output alive while it waits for its next message.
	defer func() {
		if s != nil {
			s.Reset(io.Discard)
		}
		e.slots <- s
	}()
	if s == nil {
		var err error
		if s, err = e.open(); err != nil {
			return nil, err
		}
	}
	out := appender(dst)
	s.Reset(&out)
	if _, err := s.Write(src); err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return out, nil
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
