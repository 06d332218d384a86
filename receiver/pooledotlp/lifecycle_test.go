package pooledotlp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
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
	sink
	entered, release chan struct{}
}

func newStuck() *stuck {
	return &stuck{entered: make(chan struct{}, 100), release: make(chan struct{})}
}

func (s *stuck) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	s.entered <- struct{}{}
	<-s.release
	return s.sink.ConsumeTraces(ctx, td)
}

// senders send a request of traces over each protocol.
func senders(t *testing.T, r *otlpReceiver) map[string]func() error {
	s := samples(t)[0]
	cc := dial(t, r.grpcAddress.String())
	return map[string]func() error{
		"grpc": func() error { return s.export(within(t), cc) },
		"http": func() error {
			answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Post(
				"http://"+r.httpAddress.String()+s.path, typeProto, bytesReader(s.proto))
			if err != nil {
				return err
			}
			if err := answer.Body.Close(); err != nil || answer.StatusCode == http.StatusOK {
				return err
			}
			return errors.New(answer.Status)
		},
	}
}

// eachStuck runs a test for each path and protocol, with a request that its consumer has and does not answer.
func eachStuck(t *testing.T, test func(t *testing.T, r *sharedReceiver, s *stuck, answer <-chan error)) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, protocol := range []string{"grpc", "http"} {
			t.Run(protocol, func(t *testing.T) {
				s := newStuck()
				made, err := createTraces(context.Background(), nopSettings(), defaultConfig(decode), s)
				require.NoError(t, err)
				r := made.(*sharedReceiver)
				r.receiver.stragglerGrace, r.receiver.answerGrace = time.Millisecond, time.Millisecond
				require.NoError(t, r.Start(context.Background(), nopHost()))
				answer := make(chan error, 1)
				send := senders(t, r.receiver)[protocol]
				go func() { answer <- send() }()
				<-s.entered
				test(t, r, s, answer)
				require.Eventually(t, func() bool { return r.receiver.buffers.Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
			})
		}
	})
}

func TestShutdownLetsRequestsInProgressEnd(t *testing.T) {
	eachStuck(t, func(t *testing.T, r *sharedReceiver, s *stuck, answer <-chan error) {
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(context.Background()) }()
		// As long as they take, for the pipeline has them; the port is closed soon.
		require.Eventually(t, func() bool {
			c, err := net.Dial("tcp", r.receiver.grpcAddress.String())
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		}, 10*time.Second, time.Millisecond)
		close(s.release)
		require.NoError(t, <-answer)
		require.NoError(t, <-done)
		assert.Len(t, s.AllTraces(), 1)
	})
}

func TestShutdownCutsRequestsOffWhenItsTimeIsUp(t *testing.T) {
	eachStuck(t, func(t *testing.T, r *sharedReceiver, s *stuck, answer <-chan error) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(ctx) }()
		cancel()
		require.Error(t, <-answer, "the client is cut off while the consumer is still busy")
		close(s.release)
		<-done //nolint:errcheck // it may say that the time was up
	})
}

func TestShutdownUnderLoadPassesNothingOnAfterwards(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		next := &sink{}
		made, err := createTraces(context.Background(), nopSettings(), defaultConfig(decode), next)
		require.NoError(t, err)
		r := made.(*sharedReceiver)
		require.NoError(t, r.Start(context.Background(), nopHost()))
		var acknowledged atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, send := range senders(t, r.receiver) {
			for range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if send() == nil {
							acknowledged.Add(1)
						}
					}
				})
			}
		}
		require.Eventually(t, func() bool { return acknowledged.Load() > 20 }, 10*time.Second, time.Millisecond)
		require.NoError(t, r.Shutdown(context.Background()))
		received := len(next.AllTraces())
		close(stop)
		wg.Wait()
		assert.Len(t, next.AllTraces(), received)
		assert.LessOrEqual(t, int(acknowledged.Load()), received)
		assert.Zero(t, r.receiver.buffers.Stats().InUse)
	})
}

// heedless is a component that knows nothing of requests as bytes: it answers that it has done all there is to do.
type heedless struct{ sink }

func (*heedless) ConsumeTraces(context.Context, ptrace.Traces) error { return nil }

func TestWhatNobodyTookIsNotAcknowledged(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		tel, set := observed(t)
		made, err := createTraces(t.Context(), set, defaultConfig(decode), &heedless{})
		require.NoError(t, err)
		r := made.(*sharedReceiver)
		require.NoError(t, r.Start(t.Context(), nopHost()))
		for protocol, send := range senders(t, r.receiver) {
			err := send()
			if decode == DecodeAlways {
				require.NoError(t, err, "decoded telemetry is there for everybody to see")
				continue
			}
			require.Error(t, err)
			assert.Contains(t, []string{"503 Service Unavailable", status.Error(codes.Unavailable, bytepath.ErrNotTaken.Error()).Error()}, err.Error(), protocol)
		}
		if decode == DecodeVerified {
			m, err := tel.GetMetric("otelcol_receiver_refused_spans")
			require.NoError(t, err)
			total := int64(0)
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				total += p.Value
			}
			assert.EqualValues(t, 2*samples(t)[0].items, total)
		}
		require.NoError(t, r.Shutdown(t.Context()))
	})
}
