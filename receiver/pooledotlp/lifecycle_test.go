package pooledotlp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheSignalsOfAConfigurationShareOneReceiver(t *testing.T) {
	cfg := defaultConfig(DecodeAlways)
	ctx := context.Background()
	traces, err := createTraces(ctx, nopSettings(), cfg, &sink{})
	require.NoError(t, err)
	metrics, err := createMetrics(ctx, nopSettings(), cfg, &sink{})
	require.NoError(t, err)
	logs, err := createLogs(ctx, nopSettings(), cfg, &sink{})
	require.NoError(t, err)
	profiles, err := createProfiles(ctx, nopSettings(), cfg, &sink{})
	require.NoError(t, err)
	assert.Same(t, traces, metrics)
	assert.Same(t, traces, logs)
	assert.Same(t, traces, profiles)

	other, err := createTraces(ctx, nopSettings(), defaultConfig(DecodeAlways), &sink{})
	require.NoError(t, err)
	assert.NotSame(t, traces, other)

	require.NoError(t, traces.Shutdown(ctx))
	again, err := createTraces(ctx, nopSettings(), cfg, &sink{})
	require.NoError(t, err)
	assert.NotSame(t, traces, again, "a configuration can be used again after the shutdown")
	require.NoError(t, again.Shutdown(ctx))
	require.NoError(t, other.Shutdown(ctx))
}

func TestStartAndShutdownAreSafeToRepeatAndToRunAtOnce(t *testing.T) {
	r := start(t, defaultConfig(DecodeAlways))
	require.NoError(t, r.Start(context.Background(), nopHost()))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { assert.NoError(t, r.Shutdown(context.Background())) })
	}
	wg.Wait()
	_, err := net.Dial("tcp", r.grpc)
	require.Error(t, err)
}

// statusHost keeps the events reported to it.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *statusHost) errors() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []error
	for _, e := range h.events {
		list = append(list, e.Err())
	}
	return list
}

func TestAServerThatEndsByItselfIsFatalToEverySignal(t *testing.T) {
	first, second, late := &statusHost{Host: nopHost()}, &statusHost{Host: nopHost()}, &statusHost{Host: nopHost()}
	r := startWith(t, defaultConfig(DecodeAlways), nopSettings(), first)
	require.NoError(t, r.Start(context.Background(), second))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	broken := errors.New("broken")
	r.receiver.serve(&r.hosts, "test", l, func() error { return broken }, http.ErrServerClosed)
	require.NoError(t, l.Close())
	require.Eventually(t, func() bool { return len(second.errors()) > 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, r.Start(context.Background(), late))
	for _, h := range []*statusHost{first, second, late} {
		assert.Equal(t, []error{broken}, h.errors())
	}
}

// stuck is a consumer that answers when it is released.
type stuck struct {
	entered, release chan struct{}
}

func (s stuck) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s stuck) ConsumeTraces(context.Context, ptrace.Traces) error {
	s.entered <- struct{}{}
	<-s.release
	return nil
}

// startStuck sends one request to a receiver whose consumer is stuck, and returns once it is.
func startStuck(t *testing.T, s stuck) (r *sharedReceiver, answer chan error) {
	made, err := createTraces(context.Background(), nopSettings(), defaultConfig(DecodeVerified), s)
	require.NoError(t, err)
	r = made.(*sharedReceiver)
	require.NoError(t, r.Start(context.Background(), nopHost()))
	cc := dial(t, r.receiver.grpcAddress.String())
	answer = make(chan error, 1)
	go func() { answer <- samples(t)[0].export(within(t), cc) }()
	<-s.entered
	return r, answer
}

func TestShutdownLetsRequestsInProgressEnd(t *testing.T) {
	s := stuck{entered: make(chan struct{}), release: make(chan struct{})}
	r, answer := startStuck(t, s)
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(context.Background()) }()
	close(s.release)
	require.NoError(t, <-answer)
	require.NoError(t, <-done)
}

func TestShutdownCutsRequestsOffWhenItsTimeIsUp(t *testing.T) {
	s := stuck{entered: make(chan struct{}), release: make(chan struct{})}
	r, answer := startStuck(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(ctx) }()
	cancel()
	require.Equal(t, codes.Unavailable, status.Code(<-answer), "the client is cut off while the consumer is still busy")
	close(s.release)
	require.NoError(t, <-done)
}
