package pooledotlp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unarygrpc"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadata"
)

// otlpReceiver runs the servers of one configuration. Everything but the servers is fixed before start.
type otlpReceiver struct {
	cfg       *Config
	settings  receiver.Settings
	telemetry *metadata.TelemetryBuilder
	buffers   *bufpool.Pool

	traces   consumer.Traces
	metrics  consumer.Metrics
	logs     consumer.Logs
	profiles xconsumer.Profiles

	grpcServer grpcServer
	httpServer *http.Server
	// Where the servers listen, known once started: a port may be configured as 0.
	grpcAddress, httpAddress net.Addr
	serving                  sync.WaitGroup
}

// grpcServer is what grpc-go's server and ours have in common.
type grpcServer interface {
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

func newReceiver(cfg *Config, set receiver.Settings) (*otlpReceiver, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &otlpReceiver{cfg: cfg, settings: set, telemetry: telemetry, buffers: bufpool.New(bufpool.DefaultConfig())}, nil
}

// start opens the servers that are configured. If one cannot be, none is left open.
func (r *otlpReceiver) start(ctx context.Context, host component.Host) error {
	err := errors.Join(r.observe(), r.startGRPC(ctx, host))
	if err == nil {
		err = r.startHTTP(ctx, host)
	}
	if err != nil {
		return errors.Join(err, r.shutdown(ctx))
	}
	r.settings.Logger.Info("OTLP receiver started", zap.Bool("requests_stay_encoded", r.cfg.encoded()),
		zap.String("decode", string(r.cfg.Decode)))
	return nil
}

func (r *otlpReceiver) startGRPC(ctx context.Context, host component.Host) error {
	if !r.cfg.Protocols.GRPC.HasValue() {
		return nil
	}
	cfg := r.cfg.Protocols.GRPC.Get()
	endpoints, err := r.endpoints("grpc")
	if err != nil {
		return err
	}
	stopped := grpc.ErrServerStopped
	if why := r.whyNotOwn(ctx); why == "" {
		stopped = unarygrpc.ErrStopped
		r.grpcServer, err = r.ownServer(ctx, host, endpoints)
	} else {
		r.settings.Logger.Info("gRPC is served by grpc-go", zap.String("reason", why))
		r.grpcServer, err = r.grpcGoServer(ctx, host, endpoints)
	}
	if err != nil {
		return err
	}
	listener, err := cfg.NetAddr.Listen(ctx)
	if err != nil {
		return err
	}
	r.grpcAddress = listener.Addr()
	r.serve(host, "gRPC", listener, func() error { return r.grpcServer.Serve(listener) }, stopped)
	return nil
}

// grpcGoServer makes the server that decodes, and the byte path's where ours lacks something. It has begun to run workers, and must
// be stopped even if it never serves.
func (r *otlpReceiver) grpcGoServer(ctx context.Context, host component.Host, endpoints []endpoint) (grpcServer, error) {
	server, err := r.cfg.Protocols.GRPC.Get().ToServer(ctx, host.GetExtensions(), r.settings.TelemetrySettings, grpcOptions(r.buffers)...)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		registerGRPC(server, e)
	}
	return server, nil
}

func (r *otlpReceiver) startHTTP(ctx context.Context, host component.Host) error {
	if !r.cfg.Protocols.HTTP.HasValue() {
		return nil
	}
	cfg := r.cfg.Protocols.HTTP.Get()
	endpoints, err := r.endpoints("http")
	if err != nil {
		return err
	}
	server, err := cfg.ServerConfig.ToServer(ctx, host.GetExtensions(), r.settings.TelemetrySettings,
		newMux(cfg, endpoints, r.buffers), httpOptions(cfg)...)
	if err != nil {
		return err
	}
	listener, err := cfg.ServerConfig.ToListener(ctx)
	if err != nil {
		return err
	}
	r.httpServer, r.httpAddress = server, listener.Addr()
	r.serve(host, "HTTP", listener, func() error { return server.Serve(listener) }, http.ErrServerClosed)
	return nil
}

// serve runs a server; one that ends by itself is a fatal error, because clients would find nobody.
func (r *otlpReceiver) serve(host component.Host, protocol string, l net.Listener, run func() error, stopped error) {
	r.settings.Logger.Info("Starting "+protocol+" server", zap.String("endpoint", l.Addr().String()))
	r.serving.Go(func() {
		if err := run(); err != nil && !errors.Is(err, stopped) {
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(err))
		}
	})
}

// shutdown stops accepting requests, lets those in progress end until ctx does, and then cuts them off.
func (r *otlpReceiver) shutdown(ctx context.Context) error {
	var err error
	if r.httpServer != nil {
		if err = r.httpServer.Shutdown(ctx); err != nil {
			err = errors.Join(err, r.httpServer.Close())
		}
	}
	if r.grpcServer != nil {
		cut := context.AfterFunc(ctx, r.grpcServer.Stop)
		r.grpcServer.GracefulStop()
		cut()
	}
	r.serving.Wait()
	r.telemetry.Shutdown()
	r.buffers.Close()
	return err
}

// endpoints are the signals that have a consumer, for one transport.
func (r *otlpReceiver) endpoints(transport string) ([]endpoint, error) {
	report, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: r.settings.ID, Transport: transport, ReceiverCreateSettings: r.settings,
	})
	if err != nil {
		return nil, err
	}
	var list []endpoint
	if r.traces != nil {
		list = append(list, newTraces(r, r.traces, report))
	}
	if r.metrics != nil {
		list = append(list, newMetrics(r, r.metrics, report))
	}
	if r.logs != nil {
		list = append(list, newLogs(r, r.logs, report))
	}
	if r.profiles != nil {
		list = append(list, newProfiles(r, r.profiles, report))
	}
	return list, nil
}

// encodedSignals are the signals with a consumer whose requests can stay encoded.
func (r *otlpReceiver) encodedSignals() []wire.Signal {
	var list []wire.Signal
	if r.traces != nil {
		list = append(list, wire.Traces)
	}
	if r.metrics != nil {
		list = append(list, wire.Metrics)
	}
	if r.logs != nil {
		list = append(list, wire.Logs)
	}
	return list
}
