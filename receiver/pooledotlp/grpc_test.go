package pooledotlp

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	_ "google.golang.org/grpc/encoding/gzip"
)

func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, cc.Close()) })
	return cc
}

// within bounds a test's calls.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestGRPCDeliversEverySignalInEveryCompression(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		cc := dial(t, r.grpc)
		for _, compression := range []string{encoding.Identity, "gzip", "zstd", "snappy", "brotli"} {
			for _, s := range samples(t) {
				t.Run(compression+" "+s.signal, func(t *testing.T) {
					r.sink.reset()
					require.NoError(t, s.export(within(t), cc, grpc.UseCompressor(compression)))
					r.requireReceived(t, s)
				})
			}
		}
		wantEncoded := 0
		if decode != DecodeAlways {
			wantEncoded = 5 * 3 // profiles are always decoded
		}
		assert.Equal(t, wantEncoded, r.sink.encodedCalls())
	})
}

func TestGRPCErrorsTellTheClientWhetherToRetry(t *testing.T) {
	later := throttled(t, codes.Unavailable, 3*time.Second)
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		cc := dial(t, r.grpc)
		for name, c := range map[string]struct{ err, want error }{
			"plain":            {errors.New("my error"), status.Error(codes.Unavailable, "my error")},
			"permanent":        {consumererror.NewPermanent(errors.New("my error")), status.Error(codes.Internal, "Permanent error: my error")},
			"a status":         {status.Error(codes.ResourceExhausted, "full"), status.Error(codes.ResourceExhausted, "full")},
			"with a retry":     {later, later},
			"permanent status": {status.Error(codes.InvalidArgument, "bad"), status.Error(codes.InvalidArgument, "bad")},
		} {
			for _, s := range samples(t) {
				t.Run(name+" "+s.signal, func(t *testing.T) {
					r.sink.reset()
					r.sink.refuseWith(c.err)
					err := s.export(within(t), cc)
					require.ErrorIs(t, err, c.want)
					assert.Empty(t, r.sink.received(s.signal))
				})
			}
		}
	})
}

// throttled is a status that says when to come again.
func throttled(t *testing.T, c codes.Code, delay time.Duration) error {
	s, err := status.New(c, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	require.NoError(t, err)
	return s.Err()
}

// bytesCodec sends bytes as they are.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (bytesCodec) Unmarshal(d mem.BufferSlice, v any) error {
	*v.(*[]byte) = d.Materialize()
	return nil
}
func (bytesCodec) Name() string { return "proto" }

// sendRaw calls Export of a signal with any bytes.
func sendRaw(t *testing.T, cc *grpc.ClientConn, n names, data []byte, options ...grpc.CallOption) ([]byte, error) {
	var answer []byte
	err := cc.Invoke(within(t), "/"+n.service+"/Export", data, &answer, append(options, grpc.ForceCodecV2(bytesCodec{}))...)
	return answer, err
}

var allNames = []names{tracesNames, metricsNames, logsNames, profilesNames}

func TestGRPCAcceptsAnEmptyRequestAndPassesNothingOn(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		cc := dial(t, r.grpc)
		r.sink.refuseWith(errors.New("must not be called"))
		for _, n := range allNames {
			_, err := sendRaw(t, cc, n, nil)
			require.NoError(t, err)
		}
	})
}

func TestGRPCRefusesMalformedRequestsAndGoesOn(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		cc := dial(t, r.grpc)
		for _, n := range allNames {
			_, err := sendRaw(t, cc, n, []byte{0x0a, 0x05, 0x12})
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%s: %v", n.signal, err)
			if n != profilesNames {
				assert.ErrorContains(t, err, "malformed "+n.signal+" request at offset 0: the field ends beyond its message")
			}
		}
		for _, s := range samples(t) {
			require.NoError(t, s.export(within(t), cc))
			assert.Len(t, r.sink.received(s.signal), 1)
		}
	})
}

func TestGRPCAnswersAsPdataDoes(t *testing.T) {
	want, err := ptraceotlp.NewExportResponse().MarshalProto() // those of all signals have the same fields
	require.NoError(t, err)
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		cc := dial(t, r.grpc)
		for i, s := range samples(t) {
			answer, err := sendRaw(t, cc, allNames[i], s.proto)
			require.NoError(t, err)
			assert.Equal(t, want, answer, s.signal)
		}
	})
}

func TestGRPCBoundsTheMessageSize(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().MaxRecvMsgSizeMiB = 1
		r := start(t, cfg)
		r.drops = true
		_, err := sendRaw(t, dial(t, r.grpc), tracesNames, make([]byte, 1<<20+1))
		assert.Equal(t, codes.ResourceExhausted, status.Code(err))
	})
}

// clientMetadata returns what the last call's context says of its client.
func clientMetadata(r *running, key string) []string {
	return client.FromContext(r.sink.lastContext()).Metadata.Get(key)
}

func TestGRPCPassesClientMetadataOn(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().IncludeMetadata = true
		r := start(t, cfg)
		ctx := metadata.AppendToOutgoingContext(within(t), "tenant", "a")
		require.NoError(t, samples(t)[0].export(ctx, dial(t, r.grpc)))
		info := client.FromContext(r.sink.lastContext())
		assert.Equal(t, []string{"a"}, info.Metadata.Get("tenant"))
		assert.Contains(t, info.Addr.String(), "127.0.0.1:")
	})
}

func TestGRPCOverAUnixSocket(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.GRPC.Get().NetAddr.Transport = "unix"
		cfg.Protocols.GRPC.Get().NetAddr.Endpoint = t.TempDir() + "/otlp.sock"
		r := start(t, cfg)
		for _, s := range samples(t) {
			require.NoError(t, s.export(within(t), dial(t, "unix://"+r.grpc)))
			r.requireReceived(t, s)
		}
	})
}

func TestOldScopeFieldsAreDecodedOnBothPaths(t *testing.T) {
	// Field 1000 of ResourceSpans held the scopes until OTLP 0.15.
	old := []byte{0x0a, 0x09, 0xc2, 0x3e, 0x06, 0x12, 0x04, 0x2a, 0x02, 'o', 'k'}
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		_, err := sendRaw(t, dial(t, r.grpc), tracesNames, old)
		require.NoError(t, err)
		require.Len(t, r.sink.AllTraces(), 1)
		spans := r.sink.AllTraces()[0].ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		assert.Equal(t, "ok", spans.At(0).Name())
	})
}

// Groups, which OTLP has none of, do not reach what other clients' requests are joined with.
func TestGroupsGoNoFurther(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		notEnded := []byte{0x4b, 0x08, 0x01}
		request := append([]byte{0x0a, 0x08, 0x12, 0x06, 0x12, 0x04, 0x2a, 0x02, 'o', 'k'}, notEnded...)
		_, err := sendRaw(t, dial(t, r.grpc), tracesNames, request)
		require.NoError(t, err)
		require.Len(t, r.sink.AllTraces(), 1)
		spans := r.sink.AllTraces()[0].ResourceSpans().At(0).ScopeSpans().At(0).Spans()
		assert.Equal(t, "ok", spans.At(0).Name())
		assert.NotContains(t, string(r.sink.lastTraces), string(notEnded))
	})
}

func TestAPortThatCannotBeHadFailsTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for endpoint, want := range map[string]string{l.Addr().String(): "address already in use", "127.0.0.1:112233": "invalid port"} {
			for _, protocol := range []string{"grpc", "http"} {
				t.Run(protocol+" "+want, func(t *testing.T) {
					cfg := defaultConfig(decode)
					if protocol == "grpc" {
						cfg.Protocols.GRPC.Get().NetAddr.Endpoint = endpoint
					} else {
						cfg.Protocols.HTTP.Get().ServerConfig.NetAddr.Endpoint = endpoint
					}
					r := create(t, cfg, nopSettings(), &sink{})
					require.ErrorContains(t, r.Start(context.Background(), nopHost()), want)
					require.ErrorContains(t, r.Start(context.Background(), nopHost()), want, "each signal hears of it")
					require.NoError(t, r.Shutdown(context.Background()))
				})
			}
		}
	})
}
