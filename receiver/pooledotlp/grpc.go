package pooledotlp

import (
	"context"
	"fmt"
	"runtime"

	"go.opentelemetry.io/collector/config/configgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	// Servers of this process read brotli.
	_ "github.com/otelcol-adaptive/otelcol-adaptive/internal/grpcbrotli"
)

// streamWorkersPerCPU bounds the goroutines that grpc-go keeps for calls: their grown stacks are reused. A call that finds
// all of them waiting for a consumer gets a new goroutine, so there are enough for the callers that usually wait.
const streamWorkersPerCPU = 32

// grpcOptions makes the server read into pooled buffers and hand them over undecoded.
func grpcOptions(buffers mem.BufferPool) []configgrpc.ToServerOption {
	return []configgrpc.ToServerOption{
		configgrpc.WithGrpcServerOption(grpc.ForceServerCodecV2(codec{fallback: encoding.GetCodecV2("proto")})),
		configgrpc.WithGrpcServerOption(experimental.BufferPool(buffers)),
		configgrpc.WithGrpcServerOption(grpc.NumStreamWorkers(uint32(streamWorkersPerCPU * runtime.GOMAXPROCS(0)))),
	}
}

// payload is the message type of the services: the bytes of a message, as they came.
type payload struct {
	data mem.BufferSlice
}

// codec passes payloads through and leaves all other messages to the codec that gRPC would have used.
type codec struct {
	fallback encoding.CodecV2
}

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if p, ours := v.(*payload); ours {
		return p.data, nil
	}
	return c.fallback.Marshal(v)
}

// Unmarshal keeps the message's buffers; the handler gives them back.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if p, ours := v.(*payload); ours {
		data.Ref()
		p.data = data
		return nil
	}
	return c.fallback.Unmarshal(data, v)
}

func (codec) Name() string { return "proto" }

// exportMethod is the full name of an endpoint's only method.
func exportMethod(e endpoint) string { return fmt.Sprintf("/%s/Export", e.names().service) }

// registerGRPC serves an endpoint. pdata's own registration would decode the message.
func registerGRPC(server *grpc.Server, e endpoint) {
	method := exportMethod(e)
	answer := &payload{data: mem.BufferSlice{mem.SliceBuffer(e.answers().proto)}}
	export := func(ctx context.Context, request any) (any, error) {
		if err := e.exportProto(ctx, request.(*payload).data); err != nil {
			return nil, err
		}
		return answer, nil
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: e.names().service,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Export",
			Handler: func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
				var p payload
				if err := decode(&p); err != nil {
					return nil, err
				}
				defer p.data.Free()
				if intercept == nil {
					return export(ctx, &p)
				}
				return intercept(ctx, &p, &grpc.UnaryServerInfo{Server: e, FullMethod: method}, export)
			},
		}},
	}, e)
}
