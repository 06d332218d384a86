package pooledotlp

import (
	"context"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// format is what the receiver's own metrics call both encodings, as the stock receiver's do.
const format = "protobuf"

// endpoint takes requests of one signal that came over one transport. Its errors are gRPC statuses.
type endpoint interface {
	// names returns where it is served.
	names() names
	// exportProto takes a request in protobuf. The caller keeps its references.
	exportProto(ctx context.Context, data mem.BufferSlice) error
	// exportJSON takes a request in JSON.
	exportJSON(ctx context.Context, data []byte) error
	// answers returns the answer to a request that was accepted, in protobuf and in JSON.
	answers() answers
}

type answers struct{ proto, json []byte }

// signal is an endpoint whose requests decode to T. The functions stand for what pdata offers for each signal under a
// different name.
type signal[T any] struct {
	receiver *otlpReceiver
	report   *receiverhelper.ObsReport
	where    names
	answer   answers

	unmarshalProto, unmarshalJSON func([]byte) (T, error)
	count                         func(T) int
	consume                       func(context.Context, T) error
	begin                         func(context.Context) context.Context
	end                           func(context.Context, string, int, error)

	// What follows is for signals that can stay encoded. Of others bytePath is false, and encode nil.
	bytePath bool
	kind     wire.Signal
	marker   T
	encode   func(T, mem.BufferPool) (*wire.Request, error)
	decode   func(*wire.Request) (T, error)
}

func (s *signal[T]) names() names     { return s.where }
func (s *signal[T]) answers() answers { return s.answer }

func (s *signal[T]) exportProto(ctx context.Context, data mem.BufferSlice) error {
	size := int64(data.Len())
	s.receiver.held.Add(size)
	defer s.receiver.held.Add(-size)
	if s.bytePath {
		return s.exportBytes(ctx, data)
	}
	whole := data.MaterializeToBuffer(s.receiver.buffers)
	value, err := s.unmarshal(whole.ReadOnlyData())
	whole.Free() // pdata copies what it keeps
	if err != nil {
		return s.malformed(ctx, err)
	}
	return s.export(ctx, value, s.count(value))
}

func (s *signal[T]) exportJSON(ctx context.Context, data []byte) error {
	size := int64(len(data))
	s.receiver.held.Add(size)
	defer s.receiver.held.Add(-size)
	if len(data) > shallowSize && jsonTooDeep(data) {
		return s.malformed(ctx, errTooDeep)
	}
	value, err := s.unmarshalJSON(data)
	if err != nil {
		return s.malformed(ctx, err)
	}
	if !s.bytePath {
		return s.export(ctx, value, s.count(value))
	}
	r, err := s.encode(value, s.receiver.buffers)
	if err != nil {
		return toStatus(err)
	}
	defer r.Free()
	return s.exportRequest(ctx, r)
}

// exportBytes passes on a request without decoding it.
func (s *signal[T]) exportBytes(ctx context.Context, data mem.BufferSlice) error {
	data.Ref()
	r, err := wire.Check(s.kind, data)
	if err != nil {
		data.Free()
		return s.malformed(ctx, err)
	}
	if r.Irregular() {
		if r, err = s.encodeAnew(r); err != nil {
			return toStatus(err)
		}
	}
	defer r.Free()
	return s.exportRequest(ctx, r)
}

// encodeAnew encodes an irregular request as pdata does, because the backend may not read it, nor what it is joined with. It uses up the
// old request.
func (s *signal[T]) encodeAnew(old *wire.Request) (*wire.Request, error) {
	defer old.Free()
	value, err := s.decode(old)
	if err != nil {
		return nil, err
	}
	return s.encode(value, s.receiver.buffers)
}

func (s *signal[T]) exportRequest(ctx context.Context, r *wire.Request) error {
	return s.export(bytepath.NewContext(ctx, r), s.marker, r.Items())
}

func (s *signal[T]) export(ctx context.Context, value T, items int) error {
	if items == 0 {
		return nil
	}
	s.receiver.inPipeline.Add(1)
	defer s.receiver.inPipeline.Add(-1)
	ctx = s.begin(ctx)
	err := bytepath.Confirm(ctx, s.consume(ctx, value))
	s.end(ctx, format, items, err)
	return toStatus(err)
}

// malformed counts and refuses bytes that are not a request. The stock receiver answers Internal over gRPC; the OTLP
// specification wants InvalidArgument, and either tells the client not to send it again.
func (s *signal[T]) malformed(ctx context.Context, err error) error {
	s.receiver.telemetry.ReceiverPooledotlpMalformedRequests.Add(ctx, 1,
		s.receiver.attributes(attribute.String("data_type", s.where.signal)))
	return status.Error(codes.InvalidArgument, err.Error())
}

// toStatus gives an error the gRPC status that tells the client whether to send the request again: the consumer's own,
// Internal for a permanent error, else Unavailable.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if s, has := status.FromError(err); has {
		return s.Err()
	}
	if consumererror.IsPermanent(err) {
		return status.Error(codes.Internal, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}
