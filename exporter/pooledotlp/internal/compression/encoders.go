package compression

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/mem"
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
		// EncodeAll is safe for concurrent use, so one encoder serves everybody.
		enc, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(limit),
			zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true))
		return zstdEncoder{enc}, err
	}
}

type zstdEncoder struct{ *zstd.Encoder }

// encode gathers the message first: what zstd writes piece by piece goes through its window and costs more.
func (e zstdEncoder) encode(dst []byte, src mem.BufferSlice, pool mem.BufferPool) ([]byte, error) {
	in := src.MaterializeToBuffer(pool)
	defer in.Free()
	return e.EncodeAll(in.ReadOnlyData(), dst), nil
}

// snappyBlocks has no state: the block encoder keeps its table on the stack.
type snappyBlocks struct{}

func (snappyBlocks) encode(dst []byte, src mem.BufferSlice, pool mem.BufferPool) ([]byte, error) {
	in := src.MaterializeToBuffer(pool)
	defer in.Free()
	if need := s2.MaxEncodedLen(in.Len()); cap(dst) < need {
		dst = make([]byte, 0, need)
	}
	return s2.EncodeSnappy(dst[:cap(dst)], in.ReadOnlyData()), nil
}

// stream is an encoder that writes to a writer and can be used again.
type stream interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// streamEncoders keeps the stream encoders that it opened.
type streamEncoders struct {
	// idle has room for one encoder of each caller that may be here at once.
	idle chan stream
	open func() (stream, error)
}

func newStreamEncoders(limit int, open func() (stream, error)) *streamEncoders {
	return &streamEncoders{idle: make(chan stream, limit), open: open}
}

func (e *streamEncoders) encode(dst []byte, src mem.BufferSlice, _ mem.BufferPool) ([]byte, error) {
	var s stream
	select {
	case s = <-e.idle:
	default:
		var err error
		if s, err = e.open(); err != nil {
			return nil, err
		}
	}
	// The encoder must not keep the output alive while it waits for its next message.
	defer func() {
		s.Reset(io.Discard)
		e.idle <- s
	}()
	out := appender(dst)
	s.Reset(&out)
	for _, b := range src {
		if _, err := s.Write(b.ReadOnlyData()); err != nil {
			return nil, err
		}
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
