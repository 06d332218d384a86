package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/delivery"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/events"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/external"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/incidents"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/rules"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/storage"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/web"
)

// shutdownTimeout is how long requests to the page and the APIs may take to end, and as long again what external Alertmanagers are sent.
const shutdownTimeout = 10 * time.Second

// Event is something that happened to an alert.
type Event = events.Event

// Extension is the extension. Its methods may be called at the same time, between Start and Shutdown.
type Extension struct {
	cfg *Config
	set extension.Settings

	bus       events.Bus
	storage   *storage.Storage
	tracker   *incidents.Tracker
	delivery  *delivery.Delivery
	external  *external.Sender // nil without external Alertmanagers
	rules     *rules.Set
	engine    *rules.Engine
	web       *web.Server
	telemetry *telemetry

	host      component.Host
	disk      diskStatus
	directory string
	registry  *prometheus.Registry
	address   net.Addr
	stopping  chan struct{}
	undo      []func(context.Context) error
}

// ConsumeMetrics stores metrics for the rules and may change them. It is how the exporter "alertrules" reaches the extension.
func (e *Extension) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	if e.storage == nil {
		return errors.New("the alertmanager extension has not been started")
	}
	return e.storage.ConsumeMetrics(ctx, md)
}

// Subscribe returns what happens to alerts from now on, until ctx is done. A subscriber that is more than 256 events behind
// loses events, and where there are 256 already, another gets a channel that is closed.
func (e *Extension) Subscribe(ctx context.Context) <-chan Event {
	subscription, _ := e.bus.Subscribe(ctx) // closed then
	return subscription
}

// Start implements component.Component.
func (e *Extension) Start(ctx context.Context, host component.Host) error {
	e.host, e.disk.host, e.stopping = host, host, make(chan struct{})
	for _, step := range []func(context.Context) error{e.openState, e.startExternal, e.startDelivery, e.startEngine, e.serve, e.report} {
		if err := step(ctx); err != nil {
			return errors.Join(err, e.Shutdown(ctx))
		}
	}
	return nil
}

// onShutdown registers what undoes a step of Start; the last step is undone first.
func (e *Extension) onShutdown(undo func(context.Context) error) { e.undo = append(e.undo, undo) }

// Shutdown implements component.Component.
func (e *Extension) Shutdown(ctx context.Context) error {
	var errs []error
	for _, undo := range slices.Backward(e.undo) {
		errs = append(errs, undo(ctx))
	}
	e.undo = nil
	return errors.Join(errs...)
}

// logger is the Collector's logger for libraries that log with slog.
func (e *Extension) logger(part string) *slog.Logger {
	// Without stack traces: what a library logs is about the world outside.
	return slog.New(zapslog.NewHandler(e.set.Logger.Named(part).Core(), zapslog.AddStacktraceAt(slog.LevelError+1)))
}

// openState reads the rules, and opens the storage and the incidents. When the directory cannot be written to, alerting goes on and will have
// forgotten everything after a restart.
func (e *Extension) openState(context.Context) error {
	var err error
	if e.rules, err = rules.Load(e.cfg.BuiltinRules, e.cfg.Rules, e.cfg.RuleFiles); err != nil {
		return err
	}
	e.directory = e.cfg.Storage.Directory
	if err := writable(e.directory); err != nil {
		e.set.Logger.Error("the directory of alerts cannot be written to: a restart will forget everything",
			zap.String("directory", e.directory), zap.Error(err))
		e.disk.tells("the directory of alerts")(err)
		temporary, err := os.MkdirTemp("", "alertmanager")
		if err != nil {
			return fmt.Errorf("`storage::directory` cannot be written to, and there is no other place: %w", err)
		}
		e.directory = temporary
		e.onShutdown(func(context.Context) error { return os.RemoveAll(temporary) })
	}
	// Prometheus's and Alertmanager's own metrics: a registry for each extension, as they register under fixed names.
	e.registry = prometheus.NewRegistry()
	e.storage, err = storage.Open(storage.Config{
		Directory: e.directory, Retention: e.cfg.Storage.Retention, MaxSeries: e.cfg.Storage.MaxSeries,
		IgnoreResourceAttributes: e.cfg.Storage.IgnoreResourceAttributes,
		Logger:                   e.logger("storage"), Registerer: e.registry, Trouble: e.disk.tells("what the rules have seen"),
	})
	if err != nil {
		return err
	}
	e.onShutdown(func(context.Context) error { return e.storage.Close() })
	e.tracker, err = incidents.New(incidents.Config{
		Directory: e.directory, Bus: &e.bus, Logger: e.logger("incidents"), MaxHistory: e.cfg.Storage.MaxHistory,
		Interval: e.rules.Interval("", e.cfg.EvaluationInterval),
	})
	if err != nil {
		return err
	}
	e.onShutdown(func(context.Context) error { return e.tracker.Close() })
	e.telemetry, err = newTelemetry(e)
	return err
}

// startExternal comes before delivery, which then does not wait with its state until others have taken what they are sent.
func (e *Extension) startExternal(context.Context) error {
	if len(e.cfg.External.Alertmanagers) == 0 {
		return nil
	}
	var err error
	e.external, err = external.Start(e.cfg.External, e.logger("external"), e.registry)
	if err != nil {
		return err
	}
	e.onShutdown(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
		defer cancel()
		e.external.Stop(ctx)
		return nil
	})
	return nil
}

func (e *Extension) startDelivery(ctx context.Context) error {
	externalURL, err := e.cfg.externalURL()
	if err != nil {
		return err
	}
	e.delivery, err = delivery.New(delivery.Config{
		Directory: e.directory, Alertmanager: e.cfg.Alertmanager, File: e.cfg.ConfigFile, ExternalURL: externalURL, Cluster: e.cfg.Cluster,
		NotificationTimeout: e.cfg.NotificationTimeout, Grace: e.grace, Admit: e.tracker.Admit, Observe: e.tracker.Observe,
		Shared: e.tracker, BeforeRestore: func(d *delivery.Delivery) { e.tracker.Connect(ctx, d, e.pending) }, BeforeNotify: e.tracker.BeforeNotify,
		Notified: func(n delivery.Notification) {
			e.telemetry.notified(n)
			e.tracker.Notified(n)
		},
		Trouble: e.disk.tells("the state of alerts"), Logger: e.logger("delivery"), Registerer: e.registry,
	})
	if err != nil {
		return err
	}
	e.onShutdown(func(context.Context) error { return e.delivery.Close() })
	return nil
}

// grace is how long an alert from before a restart is waited for. The rules restore their state after the second evaluation of their group, for which
// they may wait two intervals, and fire in the third.
func (e *Extension) grace(name string) time.Duration {
	return max(4*e.rules.Interval(name, e.cfg.EvaluationInterval), time.Minute)
}

func (e *Extension) startEngine(context.Context) error {
	externalURL, err := e.cfg.externalURL()
	if err != nil {
		return err
	}
	e.engine, err = rules.Start(rules.Config{
		Storage: e.storage, Rules: e.rules, Interval: e.cfg.EvaluationInterval, ExternalURL: externalURL,
		Notify: func(ctx context.Context, _ string, alerts ...*prometheusrules.Alert) {
			e.send(ctx, externalURL.String(), alerts)
		},
		Logger: e.logger("rules"), Registerer: e.registry,
	})
	if err != nil {
		return err
	}
	e.onShutdown(func(context.Context) error { return e.engine.Stop() })

	background, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { e.tracker.Run(background) })
	e.onShutdown(func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
	return nil
}

// serve opens the page and the APIs.
func (e *Extension) serve(ctx context.Context) error {
	externalURL, err := e.cfg.externalURL()
	if err != nil {
		return err
	}
	listener, err := e.cfg.HTTP.ToListener(ctx)
	if err != nil {
		return fmt.Errorf("`http::endpoint`: %w", err)
	}
	e.address = listener.Addr()
	tcp, ok := e.address.(*net.TCPAddr)
	e.web = web.NewServer(web.Parts{
		Engine: e.engine, Delivery: e.delivery, Tracker: e.tracker, Bus: &e.bus, Interval: e.cfg.EvaluationInterval, Stopping: e.stopping,
		CheckHost: ok && tcp.IP.IsLoopback() && !e.cfg.HTTP.Auth.HasValue(),
		Hosts:     append([]string{e.cfg.HTTP.NetAddr.Endpoint, externalURL.Host}, e.cfg.AllowedHosts...),
	})
	server, err := e.cfg.HTTP.ToServer(ctx, e.host.GetExtensions(), e.set.TelemetrySettings, e.web)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(e.host, componentstatus.NewFatalErrorEvent(err))
		}
	})
	e.onShutdown(func(ctx context.Context) error {
		close(e.stopping) // streams of events end, which Shutdown would wait for
		ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close()) // what is still asked must not outlive the storage
		}
		running.Wait()
		return err
	})
	e.set.Logger.Info("Alerts are served", zap.Stringer("address", e.address))
	return nil
}
