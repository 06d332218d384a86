package unarygrpc

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// The metadata that is handed on is what grpc-go's server hands on.
func TestMetadata(t *testing.T) {
	binary := base64.RawStdEncoding.EncodeToString([]byte("\x00\xff1"))
	padded := base64.StdEncoding.EncodeToString([]byte("1"))
	common := metadata.MD{":authority": {"test"}, "content-type": {"application/grpc"}}
	for name, c := range map[string]struct {
		fields []string
		want   metadata.MD
	}{
		"nothing of its own":  {nil, nil},
		"several of one name": {[]string{"x", "a", "y", "b", "x", "c,d"}, metadata.MD{"x": {"a", "c,d"}, "y": {"b"}}},
		"binary":              {[]string{"x-bin", binary, "x-bin", padded}, metadata.MD{"x-bin": {"\x00\xff1", "1"}}},
		"reserved":            {[]string{"grpc-timeout", "1H", "grpc-encoding", "gzip", "grpc-status", "0", "grpc-message", "m", "grpc-message-type", "t"}, nil},
		"reserved and handed on": {[]string{"user-agent", "a/1", "grpc-accept-encoding", "gzip", "grpc-previous-rpc-attempts", "1", "traceparent", "00-1"},
			metadata.MD{"user-agent": {"a/1"}, "grpc-accept-encoding": {"gzip"}, "grpc-previous-rpc-attempts": {"1"}, "traceparent": {"00-1"}}},
		"host instead of an authority": {[]string{":authority", "", "host", "other"}, metadata.MD{":authority": {"other"}}},
		"host beside an authority":     {[]string{"host", "other"}, nil},
		"another encoding of messages": {[]string{"content-type", "application/grpc+proto"}, metadata.MD{"content-type": {"application/grpc+proto"}}},
	} {
		t.Run(name, func(t *testing.T) {
			want := metadata.Join(common)
			for name, values := range c.want {
				want[name] = values
			}
			got := make(chan metadata.MD, 1)
			incoming := func(ctx context.Context, md metadata.MD) (context.Context, error) {
				in, _ := metadata.FromIncomingContext(ctx)
				assert.Equal(t, md, in)
				return ctx, nil
			}
			handle := func(ctx context.Context, _ mem.BufferSlice) error {
				md, _ := metadata.FromIncomingContext(ctx)
				got <- md
				return nil
			}
			_, address := serve(t, Config{Incoming: incoming}, handle)
			for server, address := range map[string]string{"ours": address, "grpc-go's": servePeer(t, handle)} {
				raw := dial(t, address)
				raw.call(1, "x", c.fields...)
				require.Equal(t, codes.OK, raw.outcome(1).code)
				assert.Equal(t, want, <-got, server)
			}
		})
	}
}

func TestMetadataIsNotKeptForNobody(t *testing.T) {
	_, address := serve(t, Config{}, func(ctx context.Context, _ mem.BufferSlice) error {
		_, has := metadata.FromIncomingContext(ctx)
		assert.False(t, has)
		return nil
	})
	c := dial(t, address)
	c.call(1, "x", "x", "y")
	c.answered(1)
}

func TestIncomingRefuses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{errors.New("who are you?"), codes.Unauthenticated},
		{status.Error(codes.PermissionDenied, "no"), codes.PermissionDenied},
	} {
		_, address := serve(t, Config{Incoming: func(context.Context, metadata.MD) (context.Context, error) { return nil, c.err }},
			func(context.Context, mem.BufferSlice) error { panic("not to be called") })
		err := call(t.Context(), connect(t, address), pattern(100_000))
		assert.Equal(t, c.want, status.Code(err))
		assert.Equal(t, status.Convert(c.err).Message(), status.Convert(err).Message())
	}
}

type key struct{}

func TestContextsOfConnectionsAndCalls(t *testing.T) {
	cfg := Config{
		Connected: func(ctx context.Context) context.Context {
			p, _ := peer.FromContext(ctx)
			assert.Equal(t, "127.0.0.1", p.Addr.(*net.TCPAddr).IP.String())
			return context.WithValue(ctx, key{}, "connection ")
		},
		Incoming: func(ctx context.Context, _ metadata.MD) (context.Context, error) {
			return context.WithValue(ctx, key{}, ctx.Value(key{}).(string)+"call"), nil
		},
	}
	_, address := serve(t, cfg, func(ctx context.Context, _ mem.BufferSlice) error {
		assert.Equal(t, "connection call", ctx.Value(key{}))
		return nil
	})
	require.NoError(t, call(t.Context(), connect(t, address), nil))
}
