// Package grpcbrotli teaches this process's gRPC servers to read brotli, the stock otlp receiver's among them.
//
// gRPC's registry of compressors is shared by everything in the process and keyed by the name on the wire. Nobody
// registers brotli by default, and what is already there is not replaced. Import the package for its effect.
package grpcbrotli

import (
	"errors"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"google.golang.org/grpc/encoding"
)

// Name is the algorithm on the wire, in the header grpc-encoding.
const Name = "brotli"

// responseLevel is for servers, which answer in the compression of the request; answers are a few bytes.
const responseLevel = 1

func init() {
	if encoding.GetCompressor(Name) == nil {
		encoding.RegisterCompressor(compressor{})
	}
}

type compressor struct{}

func (compressor) Name() string { return Name }

func (compressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return brotli.NewWriterLevel(w, responseLevel), nil
}

func (compressor) Decompress(r io.Reader) (io.Reader, error) {
	z, reused := readers.Get().(*brotli.Reader)
	if !reused {
		z = brotli.NewReader(nil)
	}
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	return &pooledReader{reader: z}, nil
}

var readers sync.Pool

// pooledReader gives its decoder back when the stream has ended; gRPC never closes readers.
type pooledReader struct {
	reader *brotli.Reader
}

func (p *pooledReader) Read(b []byte) (int, error) {
	if p.reader == nil {
		return 0, io.EOF
	}
	n, err := p.reader.Read(b)
	if errors.Is(err, io.EOF) {
		readers.Put(p.reader)
		p.reader = nil
	}
	return n, err
}
