package sink

import (
	"context"
	"math"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

// streamWorkers serve requests without a new goroutine and stack for each: the backend must not cost more than what is measured.
const streamWorkers = 32

func (s *Sink) newGRPCServer() *grpc.Server {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(otlp.Codec{}),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.NumStreamWorkers(streamWorkers),
	}
	if s.settings.MaxStreams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(s.settings.MaxStreams))
	}
	server := grpc.NewServer(options...)
	for _, signal := range payload.Signals {
		server.RegisterService(s.serviceDesc(signal), nil)
	}
	return server
}

func (s *Sink) serviceDesc(signal payload.Signal) *grpc.ServiceDesc {
	method := signal.GRPCMethod()
	service := method[1 : len(method)-len("/Export")]
	return &grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Export",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return s.export(ctx, signal, decode)
			},
		}},
	}
}

func (s *Sink) export(ctx context.Context, signal payload.Signal, decode func(any) error) (any, error) {
	var message otlp.Message
	if err := decode(&message); err != nil {
		return nil, err
	}
	defer message.Free()
	// The answer is empty; without this the server would compress it with the request's algorithm, which only passes on.
	if err := grpc.SetSendCompressor(ctx, encoding.Identity); err != nil {
		return nil, err
	}
	if signal != s.settings.Set.Signal() {
		return nil, status.Errorf(codes.InvalidArgument, "this run sends %s, not %s", s.settings.Set.Signal(), signal)
	}
	result := s.receive(ctx, message.Bytes())
	if result.reset {
		if p, ok := peer.FromContext(ctx); ok {
			s.grpcL.reset(p.Addr.String())
		}
	}
	if result.code == codes.OK {
		return mem.SliceBuffer{}, nil
	}
	st := status.New(result.code, result.message)
	if result.retryAfter > 0 {
		if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(result.retryAfter)}); err == nil {
			st = detailed
		}
	}
	return nil, st.Err()
}
