package bufpool

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
)

// BenchmarkParallelGetPut takes and returns the sizes a server sees: frames, and some requests of 50 and 500 KiB.
func BenchmarkParallelGetPut(b *testing.B) {
	sizes := []int{16 << 10, 16 << 10, 3000, 16 << 10, 50 << 10, 16 << 10, 9000, 500 << 10}
	ours := New(DefaultConfig())
	defer ours.Close()
	for _, c := range []struct {
		name string
		pool mem.BufferPool
	}{{"bufpool", ours}, {"grpc default", mem.DefaultBufferPool()}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					c.pool.Put(c.pool.Get(sizes[i%len(sizes)]))
				}
			})
		})
	}
}

// BenchmarkReadAll decompresses telemetry as a receiver does.
func BenchmarkReadAll(b *testing.B) {
	p := New(DefaultConfig())
	defer p.Close()
	for _, size := range []int{500, 4_600, 16_000, 24_000, 46_000} {
		text := make([]byte, 0, size)
		for i := 0; len(text) < size; i++ {
			text = fmt.Appendf(text, "http.attribute.%d=%x ", i%10, i*i*2654435761)
		}
		var compressed bytes.Buffer
		w, err := zstd.NewWriter(&compressed)
		require.NoError(b, err)
		_, err = w.Write(text[:size])
		require.NoError(b, err)
		require.NoError(b, w.Close())
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		require.NoError(b, err)
		defer z.Close()
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var source bytes.Reader
			for b.Loop() {
				source.Reset(compressed.Bytes())
				if err := z.Reset(&source); err != nil {
					b.Fatal(err)
				}
				var reserved Reservation
				read, err := ReadAll(z, p, &reserved)
				if err != nil || read.Len() != size {
					b.Fatal(read.Len(), err)
				}
				read.Free()
			}
		})
	}
}
