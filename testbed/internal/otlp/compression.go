package otlp

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// Compression is the content coding of a request, by the name that OTLP puts on the wire; "none" sends none.
type Compression string

// The compressions that clients can send and the backend can read.
const (
	None   Compression = "none"
	Gzip   Compression = "gzip"
	Zstd   Compression = "zstd"
	Snappy Compression = "snappy"
)

// Compressions lists every one of them.
var Compressions = []Compression{None, Gzip, Zstd, Snappy}

// Validate refuses a compression that is not one of Compressions.
func (c Compression) Validate() error {
	for _, known := range Compressions {
		if c == known {
			return nil
		}
	}
	return fmt.Errorf("must be one of %v, found %q", Compressions, string(c))
}

// zstdEncoder serves every sender of the process: EncodeAll is safe for concurrent use.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
})

// Append appends the compressed form of src to dst.
func (c Compression) Append(dst, src []byte) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Zstd:
		encoder, err := zstdEncoder()
		if err != nil {
			return dst, err
		}
		return encoder.EncodeAll(src, dst), nil
	case Gzip:
		out := bytes.NewBuffer(dst)
		w := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(w)
		w.Reset(out)
		if _, err := w.Write(src); err != nil {
			return dst, err
		}
		err := w.Close()
		return out.Bytes(), err
	case Snappy:
		out := bytes.NewBuffer(dst)
		w := snappy.NewBufferedWriter(out)
		if _, err := w.Write(src); err != nil {
			return dst, err
		}
		err := w.Close()
		return out.Bytes(), err
	default:
		return dst, c.Validate()
	}
}

var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	zstdReaders = sync.Pool{New: func() any {
		// One goroutine less per reader: a request is decoded where it is received.
		r, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		return r
	}}
)

// NewReader decompresses r. Closing the reader gives its memory back for the next one.
func (c Compression) NewReader(r io.Reader) (io.ReadCloser, error) {
	switch c {
	case None, "", "identity":
		return io.NopCloser(r), nil
	case Gzip:
		zr := gzipReaders.Get().(*gzip.Reader)
		if err := zr.Reset(r); err != nil {
			gzipReaders.Put(zr)
			return nil, err
		}
		return &pooledReader{Reader: zr, release: func() { gzipReaders.Put(zr) }}, nil
	case Zstd:
		zr := zstdReaders.Get().(*zstd.Decoder)
		if err := zr.Reset(r); err != nil {
			zstdReaders.Put(zr)
			return nil, err
		}
		return &pooledReader{Reader: zr, release: func() { zstdReaders.Put(zr) }}, nil
	case Snappy:
		return io.NopCloser(snappy.NewReader(r)), nil
	default:
		return nil, c.Validate()
	}
}

// pooledReader gives its decompressor back at the stream's end or when closed, whichever comes first: grpc-go reads to the
// end and does not close.
type pooledReader struct {
	io.Reader
	release func()
}

func (p *pooledReader) Read(b []byte) (int, error) {
	if p.release == nil {
		return 0, io.EOF
	}
	n, err := p.Reader.Read(b)
	if err == io.EOF {
		_ = p.Close()
	}
	return n, err
}

func (p *pooledReader) Close() error {
	if p.release != nil {
		p.release()
		p.release = nil
	}
	return nil
}

// precompressed is a gRPC compressor whose messages were compressed before they were handed over; it only names the
// algorithm on the wire, and decompresses what it receives.
type precompressed struct{ Compression }

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

func (precompressed) Compress(w io.Writer) (io.WriteCloser, error) { return nopWriteCloser{w}, nil }

func (p precompressed) Decompress(r io.Reader) (io.Reader, error) { return p.NewReader(r) }

func (p precompressed) Name() string { return string(p.Compression) }

func init() {
	for _, c := range []Compression{Gzip, Zstd, Snappy} {
		encoding.RegisterCompressor(precompressed{c})
	}
}
