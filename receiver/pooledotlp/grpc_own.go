package pooledotlp

import (
	"context"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unarygrpc"
)

// Where the Collector's grpc-go servers record calls, and how long these take.
const (
	otelgrpcScope    = "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	otelgrpcDuration = "rpc.server.call.duration"
)

// whyNotOwn says what is asked for that only grpc-go's server has; "" is nothing.
func (r *otlpReceiver) whyNotOwn(ctx context.Context) string {
	cfg := r.cfg.Protocols.GRPC.Get()
	switch {
	case r.cfg.GRPCServer == ServerGRPCGo:
		return "`grpc_server` is grpc-go"
	case !r.anyEncoded():
		return "requests are decoded"
	case len(cfg.Middlewares) > 0:
		return "`middlewares` are made for grpc-go"
	case recordsCalls(ctx, r.settings.TelemetrySettings, otelgrpcScope, otelgrpcDuration):
		return "the Collector's own telemetry traces calls or measures them"
	}
	return ""
}

// anyEncoded reports whether requests of any signal stay bytes.
func (r *otlpReceiver) anyEncoded() bool {
	for _, encoded := range r.signals() {
		if encoded {
			return true
		}
	}
	return false
}

// recordsCalls reports whether anybody would see what otelgrpc or otelhttp tell of calls: their metrics are dropped unless the level of the
// Collector's metrics is detailed, and their spans go nowhere unless its telemetry has a processor of traces.
func recordsCalls(ctx context.Context, set component.TelemetrySettings, scope, name string) bool {
	duration, err := set.MeterProvider.Meter(scope).Float64Histogram(name, metric.WithUnit("s"))
	if err == nil && duration.Enabled(ctx) {
		return true
	}
	// A tracer that does nothing makes no span of its own. The parent is not sampled, so that others make one which nobody sees.
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Remote: true})
	_, span := set.TracerProvider.Tracer(scope).Start(trace.ContextWithRemoteSpanContext(ctx, parent), "start")
	defer span.End()
	id := span.SpanContext().SpanID()
	return id.IsValid() && id != parent.SpanID()
}

// ownServer makes the server of the byte path.
func (r *otlpReceiver) ownServer(ctx context.Context, host component.Host, endpoints []endpoint) (grpcServer, error) {
	cfg := r.cfg.Protocols.GRPC.Get()
	own := unarygrpc.Config{
		Methods: map[string]unarygrpc.Method{}, Buffers: r.buffers, Budget: r.reading, MaxMessageBytes: cfg.MaxRecvMsgSizeMiB << 20,
		MaxConcurrentStreams: cfg.MaxConcurrentStreams, ReadBufferBytes: cfg.ReadBufferSize, Connected: withClient,
	}
	for _, e := range endpoints {
		own.Methods[exportMethod(e)] = unarygrpc.Method{Handle: e.exportProto, Answer: e.answers().proto}
	}
	if cfg.TLS.HasValue() {
		secure, err := cfg.TLS.Get().LoadTLSConfig(ctx)
		if err != nil {
			return nil, err
		}
		own.Credentials = credentials.NewTLS(secure)
	}
	own.Keepalive, own.Enforcement = keepaliveOf(cfg)
	var authenticator extensionauth.Server
	if cfg.Auth.HasValue() {
		var err error
		if authenticator, err = cfg.Auth.Get().GetServerAuthenticator(ctx, host.GetExtensions()); err != nil {
			return nil, err
		}
	}
	if authenticator != nil || cfg.IncludeMetadata {
		own.Incoming = func(ctx context.Context, md metadata.MD) (context.Context, error) {
			if cfg.IncludeMetadata {
				ctx = withMetadata(ctx, md)
			}
			if authenticator == nil {
				return ctx, nil
			}
			return authenticator.Authenticate(ctx, md)
		}
	}
	server := unarygrpc.New(own)
	return server, r.observeServer(server)
}

// keepaliveOf returns the keys of `keepalive` as grpc-go has them.
func keepaliveOf(cfg *configgrpc.ServerConfig) (k keepalive.ServerParameters, e keepalive.EnforcementPolicy) {
	if !cfg.Keepalive.HasValue() {
		return k, e
	}
	if p := cfg.Keepalive.Get().ServerParameters; p.HasValue() {
		v := p.Get()
		k = keepalive.ServerParameters{
			MaxConnectionIdle: v.MaxConnectionIdle, MaxConnectionAge: v.MaxConnectionAge, MaxConnectionAgeGrace: v.MaxConnectionAgeGrace,
			Time: v.Time, Timeout: v.Timeout,
		}
	}
	if p := cfg.Keepalive.Get().EnforcementPolicy; p.HasValue() {
		e = keepalive.EnforcementPolicy{MinTime: p.Get().MinTime, PermitWithoutStream: p.Get().PermitWithoutStream}
	}
	return k, e
}

// withClient gives the calls of a connection what the Collector knows of their client.
func withClient(ctx context.Context) context.Context {
	p, _ := peer.FromContext(ctx)
	return client.NewContext(ctx, client.Info{Addr: p.Addr})
}

// withMetadata adds a call's metadata to that, as configgrpc does.
func withMetadata(ctx context.Context, md metadata.MD) context.Context {
	kept := md.Copy()
	if len(md[client.MetadataHostName]) == 0 && len(md[":authority"]) > 0 {
		kept[client.MetadataHostName] = md[":authority"]
	}
	info := client.FromContext(ctx)
	info.Metadata = client.NewMetadata(kept)
	return client.NewContext(ctx, info)
}
