package grpcclient

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
)

type handler func(ctx context.Context, message []byte) ([]byte, error)

// serve serves a method by grpc-go on an address, which may be ":0".
func serve(t *testing.T, address string, handle handler, options ...grpc.ServerOption) (*grpc.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	s := grpc.NewServer(append(options, grpc.ForceServerCodecV2(otlp.Codec{}), grpc.MaxRecvMsgSize(64<<20))...)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Service", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Call",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var m otlp.Message
			if err := decode(&m); err != nil {
				return nil, err
			}
			defer m.Free()
			b, err := handle(ctx, m.Bytes())
			return mem.SliceBuffer(b), err
		},
	}}}, nil)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); serving.Wait() })
	return s, l.Addr().String()
}

func connectTo(t *testing.T, address, encoding string) *Client {
	t.Helper()
	c := New(Config{Address: address, Method: method, Encoding: encoding, Backoff: testBackoff, MinConnectTimeout: time.Second})
	t.Cleanup(c.Close)
	return c
}

func echo(_ context.Context, message []byte) ([]byte, error) {
	return append([]byte(nil), message...), nil
}

// The codec's decompressors are real and its compressors pass on what is compressed already, so that the server compresses its answers itself.
func TestMessagesAndAnswersOfEverySizeArrive(t *testing.T) {
	for _, compression := range []otlp.Compression{otlp.None, otlp.Gzip, otlp.Zstd} {
		_, address := serve(t, "127.0.0.1:0", func(_ context.Context, message []byte) ([]byte, error) {
			return compression.Append(nil, message)
		}, grpc.MaxConcurrentStreams(3))
		encoding := string(compression)
		if compression == otlp.None {
			encoding = ""
		}
		c := connectTo(t, address, encoding)
		var calls sync.WaitGroup
		for n := range 4 {
			for _, size := range []int{0, 1, 5 << 10, maxFrame - prefixSize, maxFrame, 100 << 10, 3 << 20} {
				calls.Go(func() {
					plain := strings.Repeat(string(rune('a'+n)), size)
					message, err := compression.Append(nil, []byte(plain))
					assert.NoError(t, err)
					b, err := c.Call(t.Context(), mem.SliceBuffer(message))
					assert.NoError(t, err)
					assert.True(t, plain == string(b), "%s: %d bytes came back as %d", compression, size, len(b))
				})
			}
		}
		calls.Wait()
	}
}

func TestStatusesAreThoseOfTheServer(t *testing.T) {
	throttled, err := status.New(codes.ResourceExhausted, "slower").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
	require.NoError(t, err)
	for _, want := range []*status.Status{
		throttled, status.New(codes.Unavailable, ""), status.New(codes.InvalidArgument, "100 % wrong: ä\n"), status.New(codes.Code(99), "unknown"),
	} {
		_, address := serve(t, "127.0.0.1:0", func(context.Context, []byte) ([]byte, error) { return nil, want.Err() })
		_, err := connectTo(t, address, "").Call(t.Context(), mem.SliceBuffer("a"))
		got := status.Convert(err)
		assert.Equal(t, want.Code(), got.Code())
		assert.Equal(t, want.Message(), got.Message())
		assert.Equal(t, fmt.Sprint(want.Details()), fmt.Sprint(got.Details()))
	}
}

func TestDeadlinesReachTheServer(t *testing.T) {
	left := make(chan time.Duration, 1)
	_, address := serve(t, "127.0.0.1:0", func(ctx context.Context, _ []byte) ([]byte, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return nil, nil
	})
	c := connectTo(t, address, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err := c.Call(ctx, mem.SliceBuffer("a"))
	require.NoError(t, err)
	assert.InDelta(t, 60, (<-left).Minutes(), 10)
}

func TestACallersDeadlineEndsItsCall(t *testing.T) {
	_, address := serve(t, "127.0.0.1:0", func(ctx context.Context, b []byte) ([]byte, error) {
		if string(b) != "wait" {
			return nil, nil
		}
		<-ctx.Done() // the server knows of the deadline, too, and may be the first to say so
		return nil, ctx.Err()
	})
	c := connectTo(t, address, "")
	_, err := c.Call(t.Context(), mem.SliceBuffer("first"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Call(ctx, mem.SliceBuffer("wait"))
	assert.Equal(t, codes.DeadlineExceeded, status.Code(err))
}

// Servers that stop, at once and gracefully, under many callers: every call gets an answer, and those after a server is back succeed.
func TestManyCallersSeeServersComeAndGo(t *testing.T) {
	server, address := serve(t, "127.0.0.1:0", echo)
	c := connectTo(t, address, "")
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 500 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				b, err := c.Call(ctx, mem.SliceBuffer("abc"))
				cancel()
				if err == nil {
					assert.Equal(t, "abc", string(b))
					continue
				}
				assert.Contains(t, []codes.Code{codes.Unavailable, codes.DeadlineExceeded}, status.Code(err), "%v", err)
				time.Sleep(time.Millisecond) // as a client waits before it tries again
			}
		})
	}
	for i := range 6 {
		require.Eventually(t, func() bool {
			_, err := c.Call(t.Context(), mem.SliceBuffer("a"))
			return err == nil
		}, 10*time.Second, time.Millisecond)
		if i%2 == 0 {
			server.Stop()
		} else {
			server.GracefulStop()
		}
		server, _ = serve(t, address, echo)
	}
	close(stop)
	callers.Wait()
}

// unnamed is a codec that adds nothing to the content type, as that of a client which has protobuf messages does not.
type unnamed struct{ otlp.Codec }

func (unnamed) Name() string { return "" }

// A Collector must see from this client what it sees from grpc-go's.
func TestTheWireIsThatOfGRPCGo(t *testing.T) {
	messages := []string{"", "small", strings.Repeat("x", 40<<10)}
	talk := func(call func(message string) error, peers <-chan *peer) (all []frame) {
		var calls sync.WaitGroup
		calls.Go(func() {
			for _, m := range messages {
				assert.NoError(t, call(m))
			}
		})
		p := (<-peers).greet(t)
		for range messages {
			for {
				f := <-p.frames
				if all = append(all, f); f.Flags.Has(1) && f.Type == 0 { // DATA with END_STREAM
					p.answer(t, f.StreamID, "")
					break
				}
			}
		}
		calls.Wait()
		_ = p.net.Close()
		for f := range p.frames {
			all = append(all, f)
		}
		return all
	}
	var ours, theirs []frame
	synctest.Test(t, func(t *testing.T) {
		c, peers := newPair(t)
		ours = talk(func(m string) error {
			_, err := c.Call(t.Context(), mem.SliceBuffer(m))
			return err
		}, peers)
		c.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		peers := make(chan *peer, 10)
		conn, err := grpc.NewClient("passthrough:///server:4317", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				near, far := net.Pipe()
				peers <- newPeer(far)
				return near, nil
			}))
		require.NoError(t, err)
		defer conn.Close()
		theirs = talk(func(m string) error {
			return conn.Invoke(t.Context(), method, mem.SliceBuffer(m), &otlp.Message{}, grpc.ForceCodecV2(unnamed{}))
		}, peers)
	})
	assert.Equal(t, theirs, ours)
}

func TestTimeoutsAreWrittenAsGRPCHasThem(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0n": -1, "1n": 1, "99999999n": 99999999, "100000u": 100 * time.Millisecond, "100001u": 100*time.Millisecond + 1,
		"10000000u": 10 * time.Second, "3600000m": time.Hour, "1000000S": 1000000 * time.Second, "2562048H": 1<<63 - 1,
	} {
		assert.Equal(t, want, encodeTimeout(d))
	}
}

// Whatever a server says, a call ends and nothing panics.
func FuzzServer(f *testing.F) {
	f.Add([]byte("\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x05"))
	f.Add([]byte("\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88"))
	f.Add([]byte("\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88\x00\x00\x05\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, said []byte) {
		synctest.Test(t, func(t *testing.T) {
			c, peers := newPair(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := c.start(ctx, "message")
			p := (<-peers).greet(t)
			p.request(t)
			_, _ = p.net.Write(said)
			_ = p.net.Close()
			<-done
			c.Close()
		})
	})
}
