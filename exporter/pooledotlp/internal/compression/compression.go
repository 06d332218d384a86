// Package compression compresses whole messages with encoders that are shared by everything in the process and bounded in
// number per algorithm and level.
//
// Compressing is CPU work, so more of it at once than there are processors would only cost memory, for encoders and for
// what goes in and comes out: a caller that finds all places taken waits for one.
package compression

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/mem"
)

// Algorithm names a compression as OTLP clients configure it.
type Algorithm string

// The algorithms. The empty one means none.
const (
	None   Algorithm = "none"
	Gzip   Algorithm = "gzip"
	Zstd   Algorithm = "zstd"
	Snappy Algorithm = "snappy"
	// SnappyBlock is snappy without its framing format. It is not for configurations: HTTP peers use both forms.
	SnappyBlock Algorithm = "snappy-block"
	Brotli      Algorithm = "brotli"
)

// DefaultLevel asks for the level that the algorithm's row in the table below names.
const DefaultLevel = 0

// levels are what each algorithm has; level 0 stands for defaultLevel. BenchmarkLevels shows what they cost: gzip 6 and zstd 3
// are as small as the stock encoders, brotli 5 is where it becomes smaller than all others.
var levels = map[Algorithm]struct{ min, max, defaultLevel int }{
	// -1 and -2 are zlib's names for its default and for Huffman coding alone.
	Gzip: {-2, 9, 6},
	// All that zstd itself has, so that what others accept is accepted; see EncoderLevelFromZstd for what they mean here.
	Zstd:        {-22, 22, 3},
	Brotli:      {1, 9, 5},
	Snappy:      {0, 0, 0},
	SnappyBlock: {0, 0, 0},
}

// Validate reports whether the algorithm exists and has the level.
func Validate(algorithm Algorithm, level int) error {
	if algorithm == None || algorithm == "" {
		return nil
	}
	l, ok := levels[algorithm]
	switch {
	case !ok:
		return fmt.Errorf("unknown compression %q: there are none, gzip, zstd, snappy and brotli", algorithm)
	case level == DefaultLevel:
		return nil
	case l.max == 0:
		return fmt.Errorf("%s has no levels, found level %d", algorithm, level)
	case level < l.min || level > l.max:
		return fmt.Errorf("%s has levels %d to %d, found %d", algorithm, l.min, l.max, level)
	}
	return nil
}

// Compressor compresses with one algorithm at one level. It is safe for concurrent use.
type Compressor struct {
	algorithm Algorithm
	encoders  encoders
	// places has room for as many callers as may compress at once.
	places chan struct{}
}

func newCompressor(algorithm Algorithm, level, limit int) (*Compressor, error) {
	e, err := newEncoders(algorithm, level, limit)
	return &Compressor{algorithm: algorithm, encoders: e, places: make(chan struct{}, limit)}, err
}

// encoders is what an algorithm must do: append the compressed src to dst, which may be nil. It is safe for concurrent
// use by as many callers as the limit it was made for.
type encoders interface {
	encode(dst []byte, src mem.BufferSlice, pool mem.BufferPool) ([]byte, error)
}

type key struct {
	algorithm Algorithm
	level     int
}

// shared holds every compressor made so far. It is bounded by the number of algorithms and levels.
var shared = struct {
	sync.Mutex
	m map[key]*Compressor
}{m: make(map[key]*Compressor)}

// For returns the process's compressor for an algorithm and level.
func For(algorithm Algorithm, level int) (*Compressor, error) {
	if err := Validate(algorithm, level); err != nil {
		return nil, err
	}
	if algorithm == None || algorithm == "" {
		return nil, errors.New("no compressor for compression none")
	}
	if level == DefaultLevel || (algorithm == Gzip && level == gzip.DefaultCompression) {
		level = levels[algorithm].defaultLevel
	}
	shared.Lock()
	defer shared.Unlock()
	k := key{algorithm, level}
	if c, ok := shared.m[k]; ok {
		return c, nil
	}
	c, err := newCompressor(algorithm, level, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	shared.m[k] = c
	return c, nil
}

// Algorithm returns what the compressor was made for.
func (c *Compressor) Algorithm() Algorithm { return c.algorithm }

// expectedRatio sizes the output buffer. Telemetry compresses by 5 and more; a message that does not costs one
// reallocation.
const expectedRatio = 3

// Compress returns the compressed form of src, in a buffer of the pool that the caller frees. It does not take over src.
func (c *Compressor) Compress(src mem.BufferSlice, pool mem.BufferPool) (mem.Buffer, error) {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	out := pool.Get(src.Len()/expectedRatio + 1024)
	compressed, err := c.encoders.encode((*out)[:0], src, pool)
	if err != nil {
		pool.Put(out)
		return nil, fmt.Errorf("compress with %s: %w", c.algorithm, err)
	}
	if &compressed[:1][0] != &(*out)[:1][0] {
		// It outgrew the buffer, so what came back is not the pool's. No algorithm gives an empty result.
		pool.Put(out)
		return mem.SliceBuffer(compressed), nil
	}
	*out = compressed
	return mem.NewBuffer(out, pool), nil
}
