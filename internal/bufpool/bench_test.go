package bufpool

import (
	"testing"

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
