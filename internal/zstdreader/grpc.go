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
	registered = &compressor{Compressor: encoding.GetCompressor(Name)}
	encoding.RegisterCompressor(registered)
}

var registered *compressor

// AllowOverGRPC lets messages of size bytes be read, uncompressed, by all gRPC servers of the process, and from its first call on what refers
// farther back may be refused. Sizes allowed before stay so. It may be called from several goroutines at once.
func AllowOverGRPC(size int64) {
	for {
		current := registered.pool.Load()
		if current != nil && reachFor(size) <= current.reach || registered.pool.CompareAndSwap(current, NewPool(size)) {
			return
		}
	}
}

// compressor writes as the one that was registered before it, and reads as that one does until a size is known: of the messages of others'
// servers the greatest size is not.
type compressor struct {
	encoding.Compressor
	pool atomic.Pointer[Pool]
}

// Decompress implements encoding.Compressor. gRPC closes readers that can be closed.
func (c *compressor) Decompress(r io.Reader) (io.Reader, error) {
	if pool := c.pool.Load(); pool != nil {
		return pool.Open(r)
	}
	return c.Compressor.Decompress(r)
}
