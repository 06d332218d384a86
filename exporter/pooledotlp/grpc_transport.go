package pooledotlp

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/exporter"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

var grpcMethods = map[wire.Signal]string{
	wire.Traces:   "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	wire.Metrics:  "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
	wire.Logs:     "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
	wire.Profiles: "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
}

// answerWindow is what the backend may send at once on a connection, HTTP/2's default rounded up. A larger answer takes more than one turn.
const answerWindow = 64 << 10

// grpcTransport sends payloads over one gRPC client connection, which may be a pool of connections.
type grpcTransport struct {
	cfg    *Config
	set    exporter.Settings
	method string
	// buffers is nil with optimizations off: gRPC then uses its own.
	buffers mem.BufferPool
	pool    *connpool.Pool // nil without a pool

	conn                     *grpc.ClientConn
	compressed, uncompressed []grpc.CallOption
}

func newGRPCTransport(cfg *Config, set exporter.Settings, signal wire.Signal, buffers mem.BufferPool) *grpcTransport {
	t := &grpcTransport{cfg: cfg, set: set, method: grpcMethods[signal], buffers: buffers}
	if cfg.pooled() {
		t.pool = connpool.New(cfg.Pool)
	}
	return t
}

func (t *grpcTransport) start(ctx context.Context, host component.Host) error {
	userAgent := fmt.Sprintf("%s/%s (%s/%s)",
		t.set.BuildInfo.Description, t.set.BuildInfo.Version, runtime.GOOS, runtime.GOARCH)
	options := []configgrpc.ToClientConnOption{configgrpc.WithGrpcDialOption(grpc.WithUserAgent(userAgent))}

	client := t.cfg.GRPC
	client.Compression = ""
	t.compressed = []grpc.CallOption{grpc.ForceCodecV2(payloadCodec{})}
	t.uncompressed = t.compressed
	if t.cfg.ownCompression() {
		t.uncompressed = append(slices.Clone(t.compressed), grpc.UseCompressor(encoding.Identity))
		options = append(options, configgrpc.WithGrpcDialOption(
			grpc.WithCompressor(declaredCompressor(t.cfg.Compression)))) //nolint:staticcheck // see declaredCompressor
	}
	if t.cfg.Optimizations == OptimizationsNone {
		client.Compression = configcompression.Type(t.cfg.Compression)
		client.BalancerName = t.stockBalancer()
	}
	if t.pool != nil {
		for _, option := range t.pool.DialOptions() {
			options = append(options, configgrpc.WithGrpcDialOption(option))
		}
	}
	if t.cfg.Optimizations != OptimizationsNone {
		// Answers are a few bytes, and grpc-go sends a ping after each to learn how much the backend could send.
		options = append(options, configgrpc.WithGrpcDialOption(grpc.WithStaticConnWindowSize(answerWindow)))
	}
	if t.buffers != nil {
		options = append(options, configgrpc.WithGrpcDialOption(experimental.WithBufferPool(t.buffers)))
	}
	conn, err := client.ToClientConn(ctx, host.GetExtensions(), t.set.TelemetrySettings, options...)
	if err != nil {
		return err
	}
	t.conn = conn
	return nil
}

// stockBalancer is what the stock exporter would use: its default where ours is configured.
func (t *grpcTransport) stockBalancer() string {
	if t.cfg.GRPC.BalancerName == connpool.Name {
		return configgrpc.DefaultBalancerName
	}
	return t.cfg.GRPC.BalancerName
}

func (t *grpcTransport) send(ctx context.Context, payload mem.BufferSlice, compressed bool) (partialSuccess, verdict) {
	if t.conn == nil {
		return partialSuccess{}, verdict{outcome: attempt.Failed, err: errNotStarted}
	}
	options := t.uncompressed
	if compressed {
		options = t.compressed
	}
	var response partialSuccess
	err := t.conn.Invoke(ctx, t.method, payload, &response, options...)
	return response, judgeGRPC(err, t.cfg.RetryResourceExhausted)
}

func (t *grpcTransport) stats() connpool.Stats {
	if t.pool == nil {
		return connpool.Stats{}
	}
	return t.pool.Stats()
}

func (t *grpcTransport) shutdown() error {
	if t.pool != nil {
		defer t.pool.Close()
	}
	if t.conn == nil {
		return nil
	}
	return t.conn.Close()
}
