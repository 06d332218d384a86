// Package runner carries out scenarios: it starts backend, network, Collector and generator, lets them run, and measures.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/generator"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/netproxy"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/process"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/sink"
)

const (
	// shutdownTimeout is what a Collector gets to end after SIGTERM, as long as an orchestrator usually waits and half as much again.
	shutdownTimeout = 45 * time.Second
	// The processors of a pinned run: the Collector's, and that of generator, network and backend.
	collectorCPU, driverCPU = 0, 1
)

// trial is one run of one contender in one case. Its parts are started in the order of the fields and ended in the reverse order.
type trial struct {
	runner    *Runner
	scenario  *scenario.Case
	contender scenario.Contender
	dir       string

	set       *payload.Set
	ledger    *ledger.Ledger
	sink      *sink.Sink
	proxies   []*netproxy.Proxy // before the backend's address for gRPC, and before that for HTTP
	storage   *storage
	process   *process.Process
	unpin     func() error // nil where nothing is pinned
	generator *generator.Generator
	watch     watch

	// replacing is held while an event ends the process and starts it again. No other lock is taken under it but the process's own.
	replacing sync.Mutex
	// events collects what a scenario's events found wrong; read after they have ended.
	events []error
}

// errEnded is a Collector that nobody asked to end.
var errEnded = errors.New("the Collector ended by itself")

// measure runs one contender once. What was measured is returned with the error that ended it.
func (r *Runner) measure(ctx context.Context, c *scenario.Case, contender scenario.Contender, round int) (result.Measurement, error) {
	name := strings.NewReplacer("/", "_", "=", "-").Replace(c.ID)
	t := &trial{
		runner: r, scenario: c, contender: contender,
		dir: filepath.Join(r.Dir, name, fmt.Sprintf("%s-%d", contender.Name, round+1)),
	}
	if err := t.start(); err != nil {
		return result.Measurement{}, errors.Join(err, t.stop())
	}
	failed := t.load(ctx)
	if failed == nil {
		failed = t.drain(ctx)
	}
	if failed == nil && t.scenario.DiskMiB > 0 && t.storage != nil {
		failed = t.watch.full()
	}
	began := time.Now()
	stopped := t.stop()
	m := t.measurement()
	m.Shutdown = time.Since(began)
	return m, errors.Join(append(t.events, failed, stopped)...)
}

func (t *trial) start() error {
	var err error
	s := &t.scenario.Scenario
	if s.Pin {
		if t.unpin, err = process.PinSelf(driverCPU); err != nil {
			return err
		}
	}
	newSet := payload.NewSet
	if s.Nested {
		newSet = payload.NewNestedSet
	}
	if t.set, err = newSet(s.Signal, s.ItemsPerRequest, s.Seed); err != nil {
		return err
	}
	t.ledger = ledger.New(s.ItemsPerRequest)
	t.sink, err = sink.Start(sink.Settings{
		Set: t.set, Ledger: t.ledger, Content: s.CheckContent, Phases: s.Backend, Seed: s.Seed,
		PoisonEvery: s.PoisonEvery, MaxStreams: s.MaxStreams, Tamper: t.runner.tamper,
	})
	if err != nil {
		return err
	}
	backend := map[string]string{generator.GRPC: t.sink.GRPCAddress(), generator.HTTP: t.sink.HTTPAddress()}
	if len(s.Network) > 0 {
		for protocol, address := range backend {
			proxy, err := netproxy.Start(address, s.Network)
			if err != nil {
				return err
			}
			t.proxies = append(t.proxies, proxy)
			backend[protocol] = proxy.Address()
		}
	}
	address, err := t.startCollector(backend)
	if err != nil {
		return err
	}
	t.generator = generator.New(generator.Settings{
		Load: s.Load, Set: t.set, Ledger: t.ledger, Protocol: s.Protocol, Address: address, Compression: s.ClientCompression,
		Seed: s.Seed,
	})
	return nil
}

// startCollector returns where the generator sends to. backend has an address for each protocol.
func (t *trial) startCollector(backend map[string]string) (string, error) {
	s := &t.scenario.Scenario
	if t.contender.Binary == "" {
		return backend[s.Protocol], nil
	}
	command, err := t.contender.Command(t.runner.Programs)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return "", err
	}
	if t.storage, err = newStorage(filepath.Join(t.dir, "storage"), s.DiskMiB); err != nil {
		return "", err
	}
	var addresses [3]string
	for i := range addresses {
		if addresses[i], err = process.FreeAddress(); err != nil {
			return "", err
		}
	}
	env := map[string]string{
		"TESTBED_GRPC": addresses[0], "TESTBED_HTTP": addresses[1],
		"TESTBED_METRICS_PORT": addresses[2][strings.LastIndexByte(addresses[2], ':')+1:],
		"TESTBED_BACKEND":      backend[generator.GRPC], "TESTBED_BACKEND_HTTP": backend[generator.HTTP],
		"TESTBED_COMPRESSION": string(s.Compression), "TESTBED_STORAGE": t.storage.dir,
	}
	for name, value := range s.Env {
		env[name] = value
	}
	cpu := -1
	if s.Pin {
		cpu = collectorCPU
	}
	t.process, err = process.Start(process.Settings{
		Command: command, Config: t.contender.Config, Env: env, Dir: t.dir, Ready: addresses[0], CPU: cpu,
	})
	if s.Protocol == generator.HTTP {
		return addresses[1], err
	}
	return addresses[0], err
}

// load runs warm-up and load, with everything that the scenario has happen meanwhile. It ends early, with errEnded, when the Collector does.
func (t *trial) load(ctx context.Context) error {
	l := &t.scenario.Load
	living, dead := context.WithCancelCause(ctx)
	defer dead(nil)
	running, stop := context.WithTimeout(living, l.Warmup+l.Duration)
	defer stop()
	sent := make(chan struct{})
	var side sync.WaitGroup
	side.Go(func() { t.guard(sent, dead) })
	side.Go(func() { t.watch.run(running, t) })
	side.Go(func() {
		select {
		case <-time.After(l.Warmup):
		case <-running.Done():
			return
		}
		t.sink.Begin()
		for _, proxy := range t.proxies {
			proxy.Begin()
		}
		t.watch.begin(t)
		t.generator.Begin()
		side.Go(func() { t.runEvents(running) })
		side.Go(func() { t.kill(running) })
		<-running.Done()
		t.watch.end(t)
		t.generator.End()
	})
	t.generator.Run(living, running)
	close(sent)
	side.Wait()
	if errors.Is(context.Cause(living), errEnded) {
		return errEnded
	}
	return nil
}

// guard reports a process that ends by itself until everything is sent: clients would try it in vain, as long as they may, with each of
// their requests.
func (t *trial) guard(sent <-chan struct{}, dead context.CancelCauseFunc) {
	if t.process == nil {
		return
	}
	for {
		exited := t.process.Exited()
		select {
		case <-exited:
		case <-sent:
			return
		}
		t.replacing.Lock() // an event that ended it has started another one when it lets go
		ended := t.process.Exited() == exited
		t.replacing.Unlock()
		if ended {
			dead(errEnded)
			return
		}
	}
}

// runEvents does to the Collector what the scenario says. An event that has begun is finished even when the load ends meanwhile.
func (t *trial) runEvents(running context.Context) {
	begun := time.Now()
	for _, event := range t.scenario.Events {
		if t.process == nil {
			return
		}
		select {
		case <-time.After(time.Until(begun.Add(event.At))):
		case <-running.Done():
			t.events = append(t.events, fmt.Errorf("%s: the load ended before it", event.Action))
			return
		}
		if err := t.event(event); err != nil {
			t.events = append(t.events, fmt.Errorf("%s: %w", event.Action, err))
		}
	}
}

func (t *trial) event(event scenario.Event) error {
	t.replacing.Lock()
	defer t.replacing.Unlock()
	if !t.process.Running() {
		return errEnded
	}
	switch event.Action {
	case scenario.Reload:
		return t.process.Reload()
	case scenario.Kill:
		if err := t.process.Kill(); err != nil {
			return err
		}
	default:
		if err := t.process.Terminate(shutdownTimeout); err != nil {
			return err
		}
	}
	return t.process.Restart()
}

// drain waits until everything acknowledged has arrived, as long as the scenario allows.
func (t *trial) drain(ctx context.Context) error {
	deadline := time.NewTimer(t.scenario.Drain)
	defer deadline.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		// The cheap question first: to look at every item takes its time.
		if t.ledger.Received() >= t.generator.Statistics().Acknowledged && t.ledger.Pending() == 0 {
			return nil
		}
		if t.process != nil && !t.process.Running() {
			return errEnded
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			return nil // what is missing is counted as lost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends what was started. The backend lives until the Collector has ended, which may still send.
func (t *trial) stop() error {
	var errs []error
	if t.generator != nil {
		t.generator.Close()
	}
	if t.process != nil {
		errs = append(errs, t.process.Terminate(shutdownTimeout), t.process.Close())
	}
	for _, proxy := range t.proxies {
		proxy.Shutdown()
	}
	if t.sink != nil {
		errs = append(errs, t.sink.Shutdown())
	}
	if t.storage != nil {
		errs = append(errs, t.storage.remove())
	}
	if t.unpin != nil {
		errs = append(errs, t.unpin())
	}
	return errors.Join(errs...)
}
