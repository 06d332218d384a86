package pooledotlp

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

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
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/zstdreader"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadata"
)

// otlpReceiver runs the servers of one configuration. Everything but the servers is fixed before start.
type otlpReceiver struct {
	cfg       *Config
	settings  receiver.Settings
	telemetry *metadata.TelemetryBuilder
	buffers   *bufpool.Pool
	// reading bounds what requests take until they are in the pipeline. grpc-go's server does not know of it.
	reading *bufpool.Budget

	traces   consumer.Traces
	metrics  consumer.Metrics
	logs     consumer.Logs
	profiles xconsumer.Profiles

	grpcServer grpcServer
	httpServer httpServer
	// Where the servers listen, known once started: a port may be configured as 0.
	grpcAddress, httpAddress net.Addr
	serving                  sync.WaitGroup

	// inPipeline counts the requests that the next consumer has.
	inPipeline atomic.Int64
	// held are the bytes of the requests that have arrived and are not answered. The pool cannot tell: grpc-go leaves the buffers of a call
	// that is broken off while its data arrives to the garbage collector, so to the pool they are in use for ever.
	held atomic.Int64
	// unreadable counts the requests over HTTP whose bodies could not be read. Those over gRPC the server counts.
	unreadable atomic.Int64
	// The times of a shutdown, which tests shorten.
	stragglerGrace, answerGrace time.Duration
}

// grpcServer is what grpc-go's server and ours have in common.
type grpcServer interface {
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

// httpServer is what net/http's server and ours have in common.
type httpServer interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

func newReceiver(cfg *Config, set receiver.Settings) (*otlpReceiver, error) {
	set.TelemetrySettings = withoutSignal(set.TelemetrySettings)
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &otlpReceiver{
		cfg: cfg, settings: set, telemetry: telemetry, buffers: bufpool.New(bufpool.DefaultConfig()),
		reading:        bufpool.NewBudget(cfg.MaxReadingBytes),
		stragglerGrace: stragglerGrace, answerGrace: answerGrace,
	}, nil
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
	r.buffers.LeaveOutOfHeadroom()
	for signal, encoded := range r.signals() {
		r.settings.Logger.Info("OTLP receiver started", zap.String("data_type", signal),
			zap.Bool("requests_stay_encoded", encoded), zap.String("decode", string(r.cfg.Decode)))
	}
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
	zstdreader.AllowOverGRPC(int64(cfg.MaxRecvMsgSizeMiB) << 20)
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
	// This fills the configuration's gaps, and so comes after what tells them from values.
	open, plain := newOpeners(cfg), allows(cfg, "")
	fallback, err := cfg.ServerConfig.ToServer(ctx, host.GetExtensions(), r.settings.TelemetrySettings,
		r.newMux(endpoints), r.httpOptions(open)...)
	if err != nil {
		return err
	}
	var server httpServer = fallback
	if why := r.whyNotOwnHTTP(ctx); why == "" {
		server = r.ownHTTPServer(fallback, endpoints, open, plain)
	} else {
		r.settings.Logger.Info("HTTP is served by net/http", zap.String("reason", why))
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

// shutdown stops accepting requests and lets those in progress end. When ctx ends it cuts them off.
func (r *otlpReceiver) shutdown(ctx context.Context) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	stopWatching := r.watchStragglers(func() { cut(errStragglers) })
	defer stopWatching()

	var servers sync.WaitGroup
	var err error
	if r.httpServer != nil {
		servers.Go(func() {
			if err = r.httpServer.Shutdown(ctx); err != nil {
				err = errors.Join(err, r.httpServer.Close())
			}
		})
	}
	if r.grpcServer != nil {
		servers.Go(func() {
			stop := context.AfterFunc(ctx, r.grpcServer.Stop)
			r.grpcServer.GracefulStop()
			stop()
		})
	}
	servers.Wait()
	r.serving.Wait()
	if errors.Is(context.Cause(ctx), errStragglers) {
		r.settings.Logger.Warn("Connections were cut off whose clients had not sent their requests to the end.")
		err = nil
	}
	r.telemetry.Shutdown()
	r.buffers.Close()
	return err
}

var errStragglers = errors.New("clients do not send their requests to the end")

const (
	// stragglerGrace is how long requests may take to arrive once the receiver shuts down.
	stragglerGrace = 5 * time.Second
	// answerGrace is how long the answers may take after the last request has left the pipeline.
	answerGrace = time.Second
)

// watchStragglers calls cut when the pipeline is done with all requests that it has got, and others still do not arrive: the Collector
// gives a shutdown no time limit, so that a client that stops within a request would keep it from ending.
func (r *otlpReceiver) watchStragglers(cut func()) (stop func()) {
	var mu sync.Mutex // held while the timer is set, so that look finds it
	var timer *time.Timer
	idle := false
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		wasIdle := idle
		if idle = r.inPipeline.Load() == 0; idle && wasIdle {
			cut()
			return
		}
		timer.Reset(r.answerGrace)
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(r.stragglerGrace, look)
	return func() { timer.Stop() }
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

// signals yields the signals that have a consumer, and whether their requests stay encoded.
func (r *otlpReceiver) signals() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, s := range []struct {
			signal      names
			has, encode bool
		}{
			{tracesNames, r.traces != nil, r.cfg.encoded(wire.Traces)},
			{metricsNames, r.metrics != nil, r.cfg.encoded(wire.Metrics)},
			{logsNames, r.logs != nil, r.cfg.encoded(wire.Logs)},
			{profilesNames, r.profiles != nil, false},
		} {
			if s.has && !yield(s.signal.signal, s.encode) {
				return
			}
		}
	}
}
