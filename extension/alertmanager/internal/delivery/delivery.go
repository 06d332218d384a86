package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/api"
	"github.com/prometheus/alertmanager/cluster"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/atomicfile"
)

const (
	// retention is how long expired silences and sent notifications are remembered, as Alertmanager has it.
	retention = 120 * time.Hour
	// maintenanceInterval is how often state is written to disk: kill -9 forgets at most so much.
	maintenanceInterval = 10 * time.Second
	alertGCInterval     = 30 * time.Minute
	maxSilences         = 10_000
	// maxAlerts bounds the store of alerts, to which whoever reaches the v2 API can add: about 1 KB each.
	maxAlerts       = 50_000
	maxSilenceBytes = 16 << 10
	// stopPatience is how long notifications under way may take to end when delivery stops: what is broken off may have arrived, and is sent again.
	stopPatience = 3 * time.Second
	// peerTimeout is how long each peer waits for the one before it to notify.
	peerTimeout = 15 * time.Second
)

// Delivery is a running Alertmanager. All methods may be called at the same time.
type Delivery struct {
	cfg      Config
	recorder eventrecorder.Recorder
	silences *silence.Silences
	silencer *silence.Silencer
	log      *nflog.Log
	alerts   *sharedAlerts
	hooks    *storeHooks
	muted    marker.GroupMarker
	peer     *cluster.Peer // nil without a cluster
	api      *api.API
	pipeline *pipeline

	stop       chan struct{}
	background sync.WaitGroup
	// snapshotFailures counts snapshots of active alerts that could not be written.
	snapshotFailures atomic.Int64
	close            func() error
}

// New starts delivery. State of an earlier run is read from the directory; what cannot be read is logged and left behind.
func New(cfg Config) (*Delivery, error) {
	parsed, err := Parse(cfg.Alertmanager, cfg.File)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory of alerts: %w", err)
	}
	d := &Delivery{cfg: cfg, recorder: eventrecorder.NopRecorder(), muted: marker.NewGroupMarker(), stop: make(chan struct{})}
	d.close = sync.OnceValue(d.shutdown)
	for _, step := range []func() error{d.openState, d.joinCluster, d.openAPI} {
		if err := step(); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	if cfg.BeforeRestore != nil {
		cfg.BeforeRestore(d)
	}
	if d.pipeline, err = d.startPipeline(parsed); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.restore()
	d.background.Go(d.keepSnapshot)
	return d, nil
}

// openState opens silences, the notification log and the store of alerts.
func (d *Delivery) openState() error {
	var err error
	logPath, silencesPath := d.path("nflog"), d.path("silences")
	// Both return what works when the content of their file is damaged: alerting goes on without it.
	d.log, err = nflog.New(nflog.Options{SnapshotFile: logPath, Retention: retention, Logger: d.cfg.Logger, Metrics: d.cfg.Registerer})
	if err := d.setAside(logPath, err, d.log != nil); err != nil {
		return fmt.Errorf("open the notification log: %w", err)
	}
	d.silences, err = silence.New(silence.Options{
		SnapshotFile: silencesPath, Retention: retention, Logger: d.cfg.Logger, Metrics: d.cfg.Registerer, EventRecorder: d.recorder,
		Limits: silence.Limits{MaxSilences: func() int { return maxSilences }, MaxSilenceSizeBytes: func() int { return maxSilenceBytes }},
	})
	if err := d.setAside(silencesPath, err, d.silences != nil); err != nil {
		return fmt.Errorf("open silences: %w", err)
	}
	d.silencer = silence.NewSilencer(d.silences, d.cfg.Logger, d.recorder)
	d.background.Go(func() {
		d.log.Maintenance(maintenanceInterval, logPath, d.stop, maintenance(logPath, d.log.GC, d.log.Snapshot))
	})
	d.background.Go(func() {
		d.silences.Maintenance(maintenanceInterval, silencesPath, d.stop, maintenance(silencesPath, d.silences.GC, d.silences.Snapshot))
	})
	d.hooks = &storeHooks{Silencer: d.silencer, admit: d.cfg.Admit, observe: d.cfg.Observe}
	stored, err := mem.NewAlerts(context.Background(), alertGCInterval, 0, d.hooks, d.cfg.Logger, d.recorder, d.cfg.Registerer,
		featurecontrol.NoopFlags{})
	if err != nil {
		return fmt.Errorf("open the store of alerts: %w", err)
	}
	d.alerts = &sharedAlerts{Alerts: stored}
	return nil
}

// maintenance replaces Alertmanager's own, which on a full disk renames the half it has written over the last whole file.
func maintenance(path string, collect func() (int, error), snapshot func(io.Writer) (int64, error)) func() (int64, error) {
	return func() (size int64, err error) {
		if _, err := collect(); err != nil {
			return 0, err
		}
		err = atomicfile.ReplaceBy(path, func(w io.Writer) error {
			size, err = snapshot(w)
			return err
		})
		return size, err
	}
}

// setAside renames a state file that could not be read, so that the next start has it no more and a person can look at it.
func (d *Delivery) setAside(path string, err error, usable bool) error {
	if err == nil || !usable {
		return err
	}
	d.cfg.Logger.Error("a state file is damaged and left behind", "file", path+".damaged", "err", err)
	return os.Rename(path, path+".damaged")
}

func (d *Delivery) path(name string) string { return filepath.Join(d.cfg.Directory, name) }

// opening is held while an API is made: its library completes a description of it that all APIs of the process share.
var opening sync.Mutex

func (d *Delivery) openAPI() error {
	opening.Lock()
	defer opening.Unlock()
	var err error
	d.api, err = api.New(api.Options{
		Alerts: d.alerts, Silences: d.silences, GroupMutedFunc: d.muted.Muted, Peer: d.clusterPeer(), Logger: d.cfg.Logger,
		Registry: d.cfg.Registerer, GroupFunc: d.groups, RequestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "alertmanager_http_request_duration_seconds", Help: "Latencies of requests to the v2 API.",
		}, []string{"handler", "method", "code"}),
	})
	if err != nil {
		return fmt.Errorf("open the API: %w", err)
	}
	return nil
}

// APIHandler serves Alertmanager's v2 API under /api/v2/.
func (d *Delivery) APIHandler() http.Handler { return d.api.Register(route.New(), "/") }

// Close stops delivery and writes its state to disk. Notifications that are still under way after some seconds are broken off; they are sent after
// the next start.
// Further calls return what the first did.
func (d *Delivery) Close() error { return d.close() }

func (d *Delivery) shutdown() error {
	var errs []error
	if d.pipeline != nil {
		d.pipeline.stop(min(stopPatience, d.cfg.NotificationTimeout))
	}
	close(d.stop)
	if d.peer != nil {
		errs = append(errs, d.leaveCluster())
	}
	d.background.Wait()
	if d.pipeline != nil {
		errs = append(errs, d.saveSnapshot()) // not before keepSnapshot has ended
	}
	if d.alerts != nil {
		d.alerts.Close()
	}
	return errors.Join(errs...)
}
