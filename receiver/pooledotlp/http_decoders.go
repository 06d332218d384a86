package pooledotlp

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/zstdreader"
)

// defaultBodySize is confighttp's bound on a body where none is configured.
const defaultBodySize = 20 << 20

// opener begins to decompress a body, and closes it with what it returns.
type opener = func(io.ReadCloser) (io.ReadCloser, error)

// openers are by algorithm.
type openers map[string]opener

// newOpeners returns what is allowed of a gzip decoder that is faster than the standard library's and reused, brotli, which confighttp does
// not know, and a zstd decoder that reserves no more than a body may need. The other algorithms are confighttp's.
func newOpeners(cfg *otlpreceiver.HTTPConfig) openers {
	gzips := &decoderPool{create: func() decoder { return new(gzip.Reader) }}
	brotlis := &decoderPool{create: func() decoder { return new(brotli.Reader) }}
	zstds := zstdreader.NewPool(bodySize(cfg))
	all := openers{
		"gzip": gzips.open,
		"br":   brotlis.open,
		"zstd": func(body io.ReadCloser) (io.ReadCloser, error) {
			z, err := zstds.Open(body)
			return &zstdBody{Reader: z, body: body}, err
		},
	}
	maps.DeleteFunc(all, func(algorithm string, _ opener) bool {
		return !allows(cfg, algorithm)
	})
	return all
}

// allows reports whether bodies may be compressed with an algorithm; "" is none.
func allows(cfg *otlpreceiver.HTTPConfig, algorithm string) bool {
	return cfg.ServerConfig.CompressionAlgorithms == nil || slices.Contains(cfg.ServerConfig.CompressionAlgorithms, algorithm)
}

func bodySize(cfg *otlpreceiver.HTTPConfig) int64 {
	if n := cfg.ServerConfig.MaxRequestBodySize; n > 0 {
		return n
	}
	return defaultBodySize
}

// httpOptions gives confighttp's server the OTLP form of errors, and the openers.
func (r *otlpReceiver) httpOptions(open openers) []confighttp.ToServerOption {
	options := []confighttp.ToServerOption{confighttp.WithErrorHandler(r.onServerError)}
	for algorithm, o := range open {
		if algorithm != "gzip" { // whose window is small
			o = onceReceived(o, r.buffers, r.reading)
		}
		options = append(options, confighttp.WithDecoder(algorithm, o))
	}
	return options
}

// onceReceived opens bodies when all of them has arrived, for the reason that ownHandler.read has. They are read when first read from, as only then
// they are watched.
func onceReceived(open opener, buffers mem.BufferPool, budget *bufpool.Budget) opener {
	return func(body io.ReadCloser) (io.ReadCloser, error) {
		return &receivedBody{body: body, open: open, buffers: buffers, reserved: budget.Reserve()}, nil
	}
}

// receivedBody keeps a body as it was sent until it is closed.
type receivedBody struct {
	body     io.ReadCloser
	open     opener
	buffers  mem.BufferPool
	reserved bufpool.Reservation
	received mem.BufferSlice
	plain    io.ReadCloser // nil until received
}

// Read is not called again after an error.
func (b *receivedBody) Read(p []byte) (int, error) {
	if b.plain == nil {
		var err error
		if b.received, err = bufpool.ReadAll(b.body, b.buffers, &b.reserved); err != nil {
			return 0, err
		}
		source := b.received.Reader()
		plain, err := b.open(source)
		if err != nil {
			return 0, errors.Join(err, source.Close())
		}
		b.plain = plain
	}
	return b.plain.Read(p)
}

// Close may be called repeatedly: by the handler, and by the server after it.
func (b *receivedBody) Close() error {
	var err error
	if b.plain != nil {
		err = b.plain.Close()
	}
	b.received.Free()
	b.received = nil
	b.reserved.End()
	return errors.Join(err, b.body.Close())
}

// zstdBody closes the body with the reader.
type zstdBody struct {
	*zstdreader.Reader
	body io.Closer
}

func (b *zstdBody) Close() error { return errors.Join(b.Reader.Close(), b.body.Close()) }

// decoder is a decompressor that can begin anew.
type decoder interface {
	io.Reader
	Reset(io.Reader) error
}

// decoderPool keeps decoders of one algorithm, whose tables and windows cost more than a small request.
type decoderPool struct {
	create func() decoder
	idle   sync.Pool
}

func (p *decoderPool) open(body io.ReadCloser) (io.ReadCloser, error) {
	d, reused := p.idle.Get().(decoder)
	if !reused {
		d = p.create()
	}
	if err := d.Reset(body); err != nil {
		return nil, err // the decoder is in no known state
	}
	return &decodedBody{decoder: d, pool: p, body: body}, nil
}

// decodedBody returns its decoder to the pool when it is closed.
type decodedBody struct {
	decoder decoder
	pool    *decoderPool
	body    io.Closer
}

var errClosed = errors.New("read from a closed request body")

func (b *decodedBody) Read(p []byte) (int, error) {
	if b.decoder == nil {
		return 0, errClosed
	}
	return b.decoder.Read(p)
}

// Close may be called repeatedly: by the handler, and by the server after it.
func (b *decodedBody) Close() error {
	if b.decoder != nil {
		b.pool.idle.Put(b.decoder)
		b.decoder = nil
	}
	return b.body.Close()
}
