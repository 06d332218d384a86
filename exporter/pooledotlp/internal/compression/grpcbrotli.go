package compression

import (
	"io"

	"github.com/andybalholm/brotli"
	"google.golang.org/grpc/encoding"
)

// grpcBrotli lets gRPC servers of this process read brotli, the stock otlp receiver's among them. gRPC's registry is
// shared by everything in the process and keyed by the name on the wire, so nothing that others may have put there is
// replaced; nobody registers brotli by default.
type grpcBrotli struct{}

func init() {
	if encoding.GetCompressor(string(Brotli)) == nil {
		encoding.RegisterCompressor(grpcBrotli{})
	}
}

func (grpcBrotli) Name() string { return string(Brotli) }

// Compress is for servers: they answer in the compression of the request.
func (grpcBrotli) Compress(w io.Writer) (io.WriteCloser, error) {
	return brotli.NewWriterLevel(w, levels[Brotli].defaultLevel), nil
}

func (grpcBrotli) Decompress(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }
