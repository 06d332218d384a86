package pooledotlp

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/receiver"
)

// instances holds one receiver per configuration: the service creates the receiver once for every signal, but the
// signals share the servers.
var instances = registry{shared: map[*Config]*sharedReceiver{}}

type registry struct {
	mu     sync.Mutex
	shared map[*Config]*sharedReceiver
}

// join returns the configuration's receiver, made if there is none, after add has given it another consumer.
func (i *registry) join(cfg *Config, set receiver.Settings, add func(*otlpReceiver)) (*sharedReceiver, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, exists := i.shared[cfg]
	if !exists {
		r, err := newReceiver(cfg, set)
		if err != nil {
			return nil, err
		}
		s = &sharedReceiver{receiver: r, remove: func() { i.remove(cfg) }}
		i.shared[cfg] = s
	}
	add(s.receiver)
	return s, nil
}

func (i *registry) remove(cfg *Config) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.shared, cfg)
}

// sharedReceiver starts and stops the receiver once, however many signals share it.
type sharedReceiver struct {
	receiver *otlpReceiver
	remove   func()
	hosts    hosts

	start, stop       sync.Once
	startErr, stopErr error
}

// Start starts the servers at the first call; each call adds a host that hears of status changes.
func (s *sharedReceiver) Start(ctx context.Context, host component.Host) error {
	s.hosts.add(host)
	s.start.Do(func() { s.startErr = s.receiver.start(ctx, &s.hosts) })
	return s.startErr
}

// Shutdown stops the servers at the first call, and forgets the configuration so that it can be used again.
func (s *sharedReceiver) Shutdown(ctx context.Context) error {
	s.stop.Do(func() {
		s.stopErr = s.receiver.shutdown(ctx)
		s.remove()
	})
	return s.stopErr
}

// hosts hands status events on to the host of every signal, since each of them has a status of its own.
type hosts struct {
	mu     sync.Mutex
	hosts  []component.Host
	events []*componentstatus.Event
}

var (
	_ component.Host           = (*hosts)(nil)
	_ componentstatus.Reporter = (*hosts)(nil)
)

// add adds a host and tells it what the others have heard.
func (h *hosts) add(host component.Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts = append(h.hosts, host)
	for _, e := range h.events {
		componentstatus.ReportStatus(host, e)
	}
}

// GetExtensions returns the extensions, which are the same for all.
func (h *hosts) GetExtensions() map[component.ID]component.Component {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hosts[0].GetExtensions()
}

// Report implements componentstatus.Reporter. The receiver reports at most two events, one per server.
func (h *hosts) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	for _, host := range h.hosts {
		componentstatus.ReportStatus(host, e)
	}
}
