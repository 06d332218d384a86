package unarygrpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// path is the method that the tests call, answer what it answers with. The other method's answer is empty.
const path, emptyPath = "/test.Service/Call", "/test.Service/Empty"

var answer = []byte("the answer")

// handler is what a method does with a message.
type handler func(ctx context.Context, message mem.BufferSlice) error

func accept(context.Context, mem.BufferSlice) error { return nil }

// withMethod completes a configuration, with a pool of which everything must have come back in the end.
func withMethod(t testing.TB, cfg Config, handle handler) Config {
	pool := bufpool.New(bufpool.DefaultConfig())
	t.Cleanup(func() {
		assert.Zero(t, pool.Stats().InUse, "buffers were not given back")
		pool.Close()
	})
	cfg.Buffers = pool
	cfg.Methods = map[string]Method{path: {Handle: handle, Answer: answer}, emptyPath: {Handle: accept}}
	return cfg
}

// serve starts a server on loopback, which is stopped at the end, and returns its address.
func serve(t testing.TB, cfg Config, handle handler) (*Server, string) {
	s := New(withMethod(t, cfg, handle))
	return s, listen(t, s)
}

func listen(t testing.TB, s *Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		assert.ErrorIs(t, <-ended, ErrStopped)
		stats := s.Stats()
		stats.Unreadable = 0 // it does not end
		assert.Equal(t, Stats{}, stats)
	})
	return l.Addr().String()
}

// gate is a handler whose calls wait until it is opened.
type gate struct {
	opened  chan struct{}
	entered chan context.Context
}

func newGate() *gate {
	return &gate{opened: make(chan struct{}), entered: make(chan context.Context, 1000)}
}

func (g *gate) handle(ctx context.Context, _ mem.BufferSlice) error {
	g.entered <- ctx
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bytesCodec lets grpc-go send and return messages as they are.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (bytesCodec) Name() string { return "proto" }

// connect returns a client of grpc-go's.
func connect(t testing.TB, target string, options ...grpc.DialOption) *grpc.ClientConn {
	return connectWith(t, target, insecure.NewCredentials(), options...)
}

func connectWith(t testing.TB, target string, secure credentials.TransportCredentials, options ...grpc.DialOption) *grpc.ClientConn {
	options = append(options, grpc.WithTransportCredentials(secure), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})))
	c, err := grpc.NewClient(target, options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// call sends a message and checks the answer.
func call(ctx context.Context, c *grpc.ClientConn, message []byte, options ...grpc.CallOption) error {
	var got []byte
	if err := c.Invoke(ctx, path, &message, &got, options...); err != nil {
		return err
	}
	if !bytes.Equal(got, answer) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// servePeer starts a server of grpc-go's with the same method, and returns its address.
func servePeer(t testing.TB, handle handler, options ...grpc.ServerOption) string {
	return servePeerWith(t, bytesCodec{}, func(ctx context.Context, decode func(any) error) error {
		var message []byte
		if err := decode(&message); err != nil {
			return err
		}
		return handle(ctx, mem.BufferSlice{mem.SliceBuffer(message)})
	}, options...)
}

// servePeerWith is servePeer with a codec of its own.
func servePeerWith(t testing.TB, codec encoding.CodecV2, handle func(context.Context, func(any) error) error, options ...grpc.ServerOption) string {
	s := grpc.NewServer(append(options, grpc.ForceServerCodecV2(codec))...)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Service", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Call",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := handle(ctx, decode); err != nil {
				return nil, err
			}
			return &answer, nil
		},
	}}}, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		assert.NoError(t, <-ended)
	})
	return l.Addr().String()
}

// counted counts the calls of a handler.
func counted(n *atomic.Int64, handle handler) handler {
	return func(ctx context.Context, message mem.BufferSlice) error {
		n.Add(1)
		return handle(ctx, message)
	}
}

// eventually and poll are for what a test cannot be told of.
const (
	eventually = 30 * time.Second
	poll       = time.Millisecond
)
