package zstdreader

import (
	"io"
	"sync/atomic"

	// Registers zstd first, so that its way of writing can be kept.
	_ "go.opentelemetry.io/collector/config/configgrpc"
	"google.golang.org/grpc/encoding"
)

// Name is the algorithm on the wire, in the header grpc-encoding.
const Name = "zstd"

func init() {
	c := &compressor{Compressor: encoding.GetCompressor(Name)}
	c.pool.Store(NewPool(0))
	registered = c
	encoding.RegisterCompressor(c)
}

var registered *compressor

// AllowOverGRPC lets messages of size bytes be read, uncompressed, by all gRPC servers of the process. Sizes allowed before stay so.
func AllowOverGRPC(size int64) {
	for {
		current := registered.pool.Load()
		if reachFor(size) <= current.reach || registered.pool.CompareAndSwap(current, NewPool(size)) {
			return
		}
	}
}

// compressor writes as the one that was registered before it.
type compressor struct {
	encoding.Compressor
	pool atomic.Pointer[Pool]
}

// Decompress implements encoding.Compressor. gRPC closes readers that can be closed.
func (c *compressor) Decompress(r io.Reader) (io.Reader, error) { return c.pool.Load().Open(r) }
