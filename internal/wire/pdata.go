package wire

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// FromTraces encodes traces once, into a buffer of the pool.
func FromTraces(td ptrace.Traces, pool mem.BufferPool) (*Request, error) {
	e := encoding{Context: context.Background(), pool: pool}
	_, err := encoders.traces.Export(&e, ptraceotlp.NewExportRequestFromTraces(td))
	return e.request(Traces, td.SpanCount(), err)
}

// FromMetrics encodes metrics once, into a buffer of the pool.
func FromMetrics(md pmetric.Metrics, pool mem.BufferPool) (*Request, error) {
	e := encoding{Context: context.Background(), pool: pool}
	_, err := encoders.metrics.Export(&e, pmetricotlp.NewExportRequestFromMetrics(md))
	return e.request(Metrics, md.DataPointCount(), err)
}

// FromLogs encodes logs once, into a buffer of the pool.
func FromLogs(ld plog.Logs, pool mem.BufferPool) (*Request, error) {
	e := encoding{Context: context.Background(), pool: pool}
	_, err := encoders.logs.Export(&e, plogotlp.NewExportRequestFromLogs(ld))
	return e.request(Logs, ld.LogRecordCount(), err)
}

// Traces decodes the request, which must carry traces. The result shares no memory with it.
func (r *Request) Traces() (ptrace.Traces, error) {
	request := ptraceotlp.NewExportRequest()
	err := r.decode(Traces, request.UnmarshalProto)
	return request.Traces(), err
}

// Metrics decodes the request, which must carry metrics. The result shares no memory with it.
func (r *Request) Metrics() (pmetric.Metrics, error) {
	request := pmetricotlp.NewExportRequest()
	err := r.decode(Metrics, request.UnmarshalProto)
	return request.Metrics(), err
}

// Logs decodes the request, which must carry logs. The result shares no memory with it.
func (r *Request) Logs() (plog.Logs, error) {
	request := plogotlp.NewExportRequest()
	err := r.decode(Logs, request.UnmarshalProto)
	return request.Logs(), err
}

func (r *Request) decode(signal Signal, unmarshal func([]byte) error) error {
	if r.signal != signal {
		return fmt.Errorf("a %s request decoded as %s", r.signal, signal)
	}
	whole := r.buffers.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	return unmarshal(whole.ReadOnlyData())
}

// encoding is one encoding under way, passed as the context of a call that is never sent.
type encoding struct {
	context.Context
	pool   mem.BufferPool
	buffer mem.Buffer
}

// marshaler is what pdata's request messages offer to its gRPC codec.
type marshaler interface {
	SizeProto() int
	MarshalProto([]byte) int
}

// encoders are OTLP clients whose calls end in an interceptor that encodes the message instead of sending it. pdata's
// public encoding functions allocate their result anew each time; only its gRPC codec, which asks the message for its
// size and then to write itself backwards into a given buffer, can use a pool, and this is the way to the message.
var encoders = newEncoders()

type clients struct {
	traces   ptraceotlp.GRPCClient
	metrics  pmetricotlp.GRPCClient
	logs     plogotlp.GRPCClient
	profiles pprofileotlp.GRPCClient
}

func newEncoders() clients {
	conn, err := grpc.NewClient("passthrough:///encoder",
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(encode))
	if err != nil {
		panic(err) // the arguments are constant
	}
	_ = conn.Close() // it is never dialled: closing it now leaves no goroutine, and the interceptor still runs
	return clients{
		traces:   ptraceotlp.NewGRPCClient(conn),
		metrics:  pmetricotlp.NewGRPCClient(conn),
		logs:     plogotlp.NewGRPCClient(conn),
		profiles: pprofileotlp.NewGRPCClient(conn),
	}
}

func encode(ctx context.Context, _ string, message, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	e, ok := ctx.(*encoding)
	if !ok {
		return fmt.Errorf("encoding: context is a %T", ctx)
	}
	m, ok := message.(marshaler)
	if !ok {
		return fmt.Errorf("encoding: pdata's %T no longer encodes itself", message)
	}
	size := m.SizeProto()
	b := e.pool.Get(size)
	*b = (*b)[:m.MarshalProto((*b)[:size])]
	e.buffer = mem.NewBuffer(b, e.pool)
	return nil
}

func (e *encoding) request(signal Signal, items int, err error) (*Request, error) {
	if err != nil {
		return nil, err
	}
	return &Request{signal: signal, buffers: mem.BufferSlice{e.buffer}, items: items, bytes: e.buffer.Len()}, nil
}
