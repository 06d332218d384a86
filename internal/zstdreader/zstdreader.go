// Package zstdreader reads zstd from peers that nobody vouches for.
//
// A zstd frame says in its first bytes how far back it refers, up to 4 GiB, and a decoder reserves as much before it has read
// anything else: ten bytes of a hostile peer cost half a gigabyte. Telemetry comes in messages of a known greatest size, and nothing in a
// message can refer farther back than that. So this package lowers what a frame asks for to what its message may need; every
// message within the size is read as before.
//
// Imported, it also has the reading of zstd in gRPC's registry of compressors, which is shared by everything in the process, and takes it
// over once AllowOverGRPC says how large messages may be. What is written there stays as it was.
package zstdreader

import (
	"errors"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// minReach is what every decoder should support, https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.1.1.2.
const minReach = 8 << 20

// Pool keeps decoders for messages of one greatest size. It is safe for concurrent use.
type Pool struct {
	reach   uint64
	options []zstd.DOption
	idle    sync.Pool
}

// NewPool returns a pool for messages of at most size bytes, uncompressed; those beyond may be refused.
func NewPool(size int64) *Pool {
	reach := reachFor(size)
	return &Pool{reach: reach, options: []zstd.DOption{
		zstd.WithDecoderConcurrency(1), // one message is too little to share among goroutines
		zstd.WithDecoderMaxWindow(reach),
	}}
}

// reachFor rounds up to what a frame can express: a power of two and some eighths of it.
func reachFor(size int64) uint64 {
	wanted := uint64(max(size, minReach))
	eighth := uint64(1) << (bits.Len64(wanted) - 1 - 3)
	return (wanted + eighth - 1) / eighth * eighth
}

// Open returns a reader of what r holds compressed. That r is no zstd shows when it is read.
func (p *Pool) Open(r io.Reader) (*Reader, error) {
	d, reused := p.idle.Get().(*decoder)
	if !reused {
		z, err := zstd.NewReader(nil, p.options...)
		if err != nil {
			return nil, err
		}
		d = &decoder{Decoder: z}
	}
	d.source = source{r: r, reach: p.reach}
	if err := d.Reset(&d.source); err != nil {
		return nil, err // it is in no known state
	}
	return &Reader{decoder: d, pool: p}, nil
}

// decoder goes in and out of the pool with its source.
type decoder struct {
	*zstd.Decoder
	source source
}

// Reader reads one message. Closed, it gives its decoder back.
type Reader struct {
	decoder *decoder // nil once closed
	pool    *Pool
}

var errClosed = errors.New("read from a closed zstd reader")

// Read implements io.Reader.
func (z *Reader) Read(b []byte) (int, error) {
	if z.decoder == nil {
		return 0, errClosed
	}
	return z.decoder.Read(b)
}

// Close may be called repeatedly, whoever has the decoder by then.
func (z *Reader) Close() error {
	d := z.decoder
	z.decoder = nil
	if d == nil {
		return nil
	}
	d.source = source{}
	if err := d.Reset(nil); err != nil {
		return err // it is in no known state, and not kept
	}
	z.pool.idle.Put(d)
	return nil
}

// headerSize is the magic number, the frame's descriptor and the window's.
const headerSize = 6

var magic = [...]byte{0x28, 0xb5, 0x2f, 0xfd}

// source hands on what it reads, with the window of the first frame lowered. Later frames of a message, which no client is known to
// send, are left to the decoder's own limit.
type source struct {
	r      io.Reader
	reach  uint64
	header [headerSize]byte
	begun  bool
	// rest is what was read of the header and not handed on, err what ended the reading of it.
	rest []byte
	err  error
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		n, err := io.ReadFull(s.r, s.header[:])
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		s.rest, s.err = s.header[:n], err
		s.lower()
	}
	if len(s.rest) > 0 {
		n := copy(b, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	return s.r.Read(b)
}

// lower changes the header if it asks for more than reach. A single segment has no window of its own: it is as large as its contents, and
// refused by the decoder if these are too large.
func (s *source) lower() {
	const singleSegment = 1 << 5
	if len(s.rest) < headerSize || [4]byte(s.rest) != magic || s.rest[4]&singleSegment != 0 {
		return
	}
	window := s.rest[5]
	exponent, eighths := window>>3, uint64(window&7)
	base := uint64(1) << (10 + exponent)
	if base+base/8*eighths > s.reach {
		log := bits.Len64(s.reach) - 1
		s.rest[5] = byte(log-10)<<3 | byte(s.reach>>(log-3)&7)
	}
}
