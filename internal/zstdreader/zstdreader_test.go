package zstdreader

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
)

// frame is a zstd frame with the given window descriptor whose only block holds the text as it is.
func frame(window byte, text string) []byte {
	block := len(text)<<3 | 1 // raw, and the last
	return append(append(magic[:], 0, window, byte(block), byte(block>>8), byte(block>>16)), text...)
}

// single is a frame without a window that says it holds size bytes.
func single(size uint32) []byte {
	return append(magic[:], 0xa0, byte(size), byte(size>>8), byte(size>>16), byte(size>>24), 0x09, 0, 0, 'a')
}

func compress(t testing.TB, text []byte, options ...zstd.EOption) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, options...)
	require.NoError(t, err)
	_, err = w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func read(t testing.TB, p *Pool, r io.Reader) ([]byte, error) {
	z, err := p.Open(r)
	require.NoError(t, err)
	defer func() { assert.NoError(t, z.Close()) }()
	return io.ReadAll(z)
}

// reserved returns the bytes allocated by f.
func reserved(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAFrameCannotAskForMoreThanItsMessageMayNeed(t *testing.T) {
	for exponent := byte(0); exponent < 32; exponent++ {
		for _, eighths := range []byte{0, 7} {
			var text []byte
			var err error
			bytes := reserved(func() { text, err = read(t, NewPool(4<<20), bytes.NewReader(frame(exponent<<3|eighths, "hello"))) })
			require.NoError(t, err, "exponent %d, eighths %d", exponent, eighths)
			assert.Equal(t, "hello", string(text))
			assert.Less(t, bytes, uint64(12<<20), "exponent %d, eighths %d", exponent, eighths)
		}
	}
}

func TestTheReachIsWhatAFrameCanExpress(t *testing.T) {
	for size, reach := range map[int64]uint64{
		0: 8 << 20, 8 << 20: 8 << 20, 8<<20 + 1: 9 << 20, 9 << 20: 9 << 20, 15<<20 + 1: 16 << 20, 20 << 20: 20 << 20, 100 << 20: 104 << 20,
	} {
		assert.Equal(t, reach, reachFor(size), size)
		s := source{reach: reach, rest: frame((31<<3)|7, "")[:headerSize]}
		s.lower()
		exponent, eighths := s.rest[5]>>3, uint64(s.rest[5]&7)
		assert.Equal(t, reach, uint64(1)<<(10+exponent)/8*(8+eighths), size)
	}
}

func TestASingleSegmentBeyondTheSizeIsRefused(t *testing.T) {
	var err error
	bytes := reserved(func() { _, err = read(t, NewPool(4<<20), bytes.NewReader(single(1<<30))) })
	require.ErrorIs(t, err, zstd.ErrDecoderSizeExceeded)
	assert.Less(t, bytes, uint64(12<<20))
}

func TestALaterFrameIsBoundToo(t *testing.T) {
	data := append(frame(0, "first"), frame((29-10)<<3, "second")...)
	var err error
	bytes := reserved(func() { _, err = read(t, NewPool(4<<20), bytes.NewReader(data)) })
	require.ErrorIs(t, err, zstd.ErrWindowSizeExceeded)
	assert.Less(t, bytes, uint64(12<<20))
}

// repeated returns noise of half the size, twice: the second half refers back to the first.
func repeated(size int) []byte {
	text := make([]byte, size)
	seed := uint32(1)
	for i := range text[:size/2] {
		seed = seed*1664525 + 1013904223
		text[i] = byte(seed >> 24)
	}
	copy(text[size/2:], text[:size/2])
	return text
}

// A message as large as is allowed refers as far back as it can, from an encoder with the largest window.
func TestMessagesOfEveryEncoderAreReadUpToTheSize(t *testing.T) {
	const size = 8<<20 + 1
	text := repeated(size)
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedBetterCompression} {
		data := compress(t, text, zstd.WithEncoderLevel(level), zstd.WithWindowSize(64<<20))
		got, err := read(t, NewPool(size), bytes.NewReader(data))
		require.NoError(t, err, level)
		require.True(t, bytes.Equal(text, got), level)
	}
}

func TestDecodersAreUsedAgainAndTellWhatIsWrong(t *testing.T) {
	p := NewPool(0)
	good := compress(t, []byte(strings.Repeat("telemetry ", 1000)))
	for range 3 {
		text, err := read(t, p, iotest.OneByteReader(bytes.NewReader(good)))
		require.NoError(t, err)
		assert.Len(t, text, 10000)

		_, err = read(t, p, strings.NewReader(`{"key": "value"}`))
		require.ErrorIs(t, err, zstd.ErrMagicMismatch)
		for n := range len(good) {
			_, err = read(t, p, bytes.NewReader(good[:n]))
			assert.Equal(t, n == 0, err == nil, "%d bytes: %v", n, err)
		}
		gone := errors.New("gone")
		for _, n := range []int{0, 3, 6, 20} {
			_, err = read(t, p, io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(gone)))
			require.ErrorIs(t, err, gone)
		}
	}
}

func TestAClosedReaderLeavesItsDecoderToOthers(t *testing.T) {
	p := NewPool(0)
	data := compress(t, []byte("telemetry"))
	first, err := p.Open(bytes.NewReader(data))
	require.NoError(t, err)
	require.NoError(t, first.Close())
	second, err := p.Open(bytes.NewReader(data))
	require.NoError(t, err)
	require.NoError(t, first.Close())
	_, err = first.Read(make([]byte, 1))
	require.ErrorIs(t, err, errClosed)
	text, err := io.ReadAll(second)
	require.NoError(t, err)
	assert.Equal(t, "telemetry", string(text))
	require.NoError(t, second.Close())
}

// readOverGRPC reads a message as a gRPC server does.
func readOverGRPC(t testing.TB, data []byte) ([]byte, error) {
	r, err := encoding.GetCompressor(Name).Decompress(bytes.NewReader(data))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	if c, can := r.(io.Closer); can {
		require.NoError(t, c.Close())
	}
	return text, err
}

func TestGRPCReadsWithinBoundsThatOnlyGrow(t *testing.T) {
	c := encoding.GetCompressor(Name)
	require.IsType(t, &compressor{}, c)
	defer registered.pool.Store(nil)
	var b bytes.Buffer
	w, err := c.Compress(&b)
	require.NoError(t, err)
	_, err = w.Write([]byte("telemetry"))
	require.NoError(t, err)
	require.NoError(t, w.Close())

	for _, step := range []struct {
		allowed int64
		reach   uint64
	}{{100, 8 << 20}, {20 << 20, 20 << 20}, {1, 20 << 20}} {
		AllowOverGRPC(step.allowed)
		assert.Equal(t, step.reach, registered.pool.Load().reach)
		text, err := readOverGRPC(t, b.Bytes())
		require.NoError(t, err)
		assert.Equal(t, "telemetry", string(text))
	}
}

// The messages of servers that do not use this package may be as large, and refer as far back, as without it.
func TestGRPCReadsAsBeforeUntilASizeIsAllowed(t *testing.T) {
	text := repeated(18 << 20)
	data := compress(t, text, zstd.WithWindowSize(32<<20))
	got, err := readOverGRPC(t, data)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(text, got))

	defer registered.pool.Store(nil)
	AllowOverGRPC(1)
	_, err = readOverGRPC(t, data)
	require.Error(t, err, "else its frame did not refer farther back than it need")
}
