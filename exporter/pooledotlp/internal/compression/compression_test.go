package compression

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// decompress uses decoders independent of the encoders where there are any.
func decompress(t testing.TB, algorithm Algorithm, b []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch algorithm {
	case Gzip:
		r, err = gzip.NewReader(bytes.NewReader(b))
	case Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(b))
		defer d.Close()
		r = d
	case Snappy:
		r = snappy.NewReader(bytes.NewReader(b))
	case Brotli:
		r = brotli.NewReader(bytes.NewReader(b))
	default:
		out, err := snappy.Decode(nil, b)
		require.NoError(t, err)
		return out
	}
	require.NoError(t, err)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return out
}

// compressible makes text of a given size, random makes bytes that no algorithm shrinks.
func compressible(n int) []byte {
	return bytes.Repeat([]byte("http.request.method GET url.path /cart "), n/39+1)[:n]
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func TestEveryAlgorithmAtEveryLevelComesBackEqual(t *testing.T) {
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	for algorithm, l := range levels {
		for level := max(l.min, -2); level <= min(l.max, 12); level++ {
			c, err := For(algorithm, level)
			require.NoError(t, err)
			assert.Equal(t, algorithm, c.Algorithm())
			for _, data := range [][]byte{compressible(1), compressible(5000), compressible(3 << 20), random(100_000)} {
				// In two buffers, as a merged request comes.
				half := len(data) / 2
				in := mem.BufferSlice{mem.SliceBuffer(data[:half]), mem.SliceBuffer(data[half:])}
				out, err := c.Compress(in, pool)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, decompress(t, algorithm, out.ReadOnlyData())), "%s %d, %d bytes", algorithm, level, len(data))
				out.Free()
			}
		}
	}
	assert.Zero(t, pool.Stats().InUse, "every buffer is back")
}

func TestACompressorIsShared(t *testing.T) {
	a, err := For(Gzip, DefaultLevel)
	require.NoError(t, err)
	b, err := For(Gzip, levels[Gzip].defaultLevel)
	require.NoError(t, err)
	assert.Same(t, a, b)
	c, err := For(Gzip, 1)
	require.NoError(t, err)
	assert.NotSame(t, a, c)
}

func TestWhatThereIsNot(t *testing.T) {
	for _, c := range []struct {
		algorithm Algorithm
		level     int
		want      string
	}{
		{"lzma", 0, `unknown compression "lzma": there are none, gzip, zstd, snappy and brotli`},
		{Gzip, 10, "gzip has levels -2 to 9, found 10"},
		{Zstd, 23, "zstd has levels -22 to 22, found 23"},
		{Snappy, 1, "snappy has no levels, found level 1"},
		{None, 0, "no compressor for compression none"},
		{"", 0, "no compressor for compression none"},
	} {
		_, err := For(c.algorithm, c.level)
		require.EqualError(t, err, c.want)
	}
	require.NoError(t, Validate(None, 5), "a level without compression does no harm")
}

func TestEncodersAreBounded(t *testing.T) {
	opened := 0
	var mu sync.Mutex
	c, err := newCompressor(Gzip, DefaultLevel, 2)
	require.NoError(t, err)
	c.encoders = newStreamEncoders(2, func() (stream, error) {
		mu.Lock()
		defer mu.Unlock()
		opened++
		return gzip.NewWriter(io.Discard), nil
	})
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			out, err := c.Compress(mem.BufferSlice{mem.SliceBuffer(compressible(10_000))}, pool)
			assert.NoError(t, err)
			assert.Len(t, decompress(t, Gzip, out.ReadOnlyData()), 10_000)
			out.Free()
		})
	}
	all.Wait()
	assert.LessOrEqual(t, opened, 2)
}

func TestAnEncoderThatCannotBeMadeLeavesItsPlace(t *testing.T) {
	fail := fmt.Errorf("no")
	c, err := newCompressor(Gzip, DefaultLevel, 1)
	require.NoError(t, err)
	c.encoders = newStreamEncoders(1, func() (stream, error) { return nil, fail })
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	for range 2 {
		_, err := c.Compress(nil, pool)
		require.ErrorIs(t, err, fail)
	}
}

// TestZstdMemoryIsBounded compresses ten large messages at once, again and again, and looks at the heap while the encoders
// are all warm.
func TestZstdMemoryIsBounded(t *testing.T) {
	data := telemetry(10_000)
	in := mem.BufferSlice{mem.SliceBuffer(data[:1000]), mem.SliceBuffer(data[1000:])} // as a batch comes: in pieces
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c, err := newCompressor(Zstd, levels[Zstd].defaultLevel, runtime.GOMAXPROCS(0))
	require.NoError(t, err)
	pool := bufpool.New(bufpool.DefaultConfig())
	defer pool.Close()
	var held [10]mem.Buffer
	for range 3 {
		var all sync.WaitGroup
		for i := range held {
			all.Go(func() {
				out, err := c.Compress(in, pool)
				assert.NoError(t, err)
				held[i] = out
			})
		}
		all.Wait()
		used := int64(heap()) - int64(before)
		t.Logf("ten messages of %d bytes compressed at once: %.1f MB with what is sent", len(data), float64(used)/1e6)
		assert.Less(t, used, int64(40_000_000))
		for _, b := range held {
			b.Free()
		}
	}
	runtime.KeepAlive(c)
}
