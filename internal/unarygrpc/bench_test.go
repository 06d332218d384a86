package unarygrpc

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// references is the codec of a grpc-go server that leaves messages as bytes: its requests are references to what was read.
type references struct{}

func (references) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (references) Unmarshal(data mem.BufferSlice, v any) error {
	data.Ref()
	*v.(*mem.BufferSlice) = data
	return nil
}

func (references) Name() string { return "proto" }

// BenchmarkCall makes calls of 48 KB from 64 callers on 4 connections; the clients' allocations are counted along, and are the same for both servers.
func BenchmarkCall(b *testing.B) {
	const size, callers, connections = 48_000, 64, 4
	run := func(b *testing.B, address string) {
		var clients []*grpc.ClientConn
		for range connections {
			c := connect(b, address)
			require.NoError(b, call(b.Context(), c, nil))
			clients = append(clients, c)
		}
		sent := pattern(size)
		b.SetBytes(size)
		b.ReportAllocs()
		b.ResetTimer()
		var left atomic.Int64
		left.Store(int64(b.N))
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := call(b.Context(), clients[i%connections], sent); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.StopTimer()
	}
	b.Run("server=ours", func(b *testing.B) {
		_, address := serve(b, Config{Budget: bufpool.NewBudget(64 << 20)}, accept)
		run(b, address)
	})
	b.Run("server=grpc-go", func(b *testing.B) {
		pool := bufpool.New(bufpool.DefaultConfig())
		defer pool.Close()
		run(b, servePeerWith(b, references{}, func(_ context.Context, decode func(any) error) error {
			var m mem.BufferSlice
			defer func() { m.Free() }()
			return decode(&m)
		}, experimental.BufferPool(pool), grpc.NumStreamWorkers(64)))
	})
}
