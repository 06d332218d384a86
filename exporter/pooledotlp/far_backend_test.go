package pooledotlp

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// delayProxy forwards TCP connections and holds every byte for a time, as distance does: the bandwidth stays.
type delayProxy struct {
	listener net.Listener
	target   string
	oneWay   time.Duration
	all      sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func startDelayProxy(t testing.TB, target string, roundTrip time.Duration) *delayProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &delayProxy{listener: l, target: target, oneWay: roundTrip / 2}
	p.all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			p.pipe(in, out)
			p.pipe(out, in)
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cutAll()
		p.all.Wait()
	})
	return p
}

func (p *delayProxy) address() string { return p.listener.Addr().String() }

func (p *delayProxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// cutOne closes the oldest connection.
func (p *delayProxy) cutOne() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) >= 2 {
		p.conns[0].Close()
		p.conns[1].Close()
		p.conns = p.conns[2:]
	}
}

type delayed struct {
	at    time.Time
	bytes []byte
}

func (p *delayProxy) pipe(from, to net.Conn) {
	line := make(chan delayed, 1<<14)
	p.all.Go(func() {
		defer close(line)
		for {
			b := make([]byte, 32*1024)
			n, err := from.Read(b)
			if n > 0 {
				line <- delayed{time.Now().Add(p.oneWay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	p.all.Go(func() {
		defer to.Close()
		for d := range line {
			time.Sleep(time.Until(d.at))
			if _, err := to.Write(d.bytes); err != nil {
				from.Close()
				for range line { // lets the reader end
				}
				return
			}
		}
	})
}

// exportAll exports requests through an exporter's queue and returns how long it took until all had arrived.
func exportAll(t *testing.T, e exporter.Traces, requests int, td ptrace.Traces, arrived *atomic.Int64) time.Duration {
	t.Helper()
	want := arrived.Load() + int64(requests)
	start := time.Now()
	for range requests {
		require.NoError(t, e.ConsumeTraces(context.Background(), td))
	}
	require.Eventually(t, func() bool { return arrived.Load() >= want }, time.Minute, time.Millisecond)
	return time.Since(start)
}

// A load balancer that allows 128 streams on a connection, 100 ms away: one connection carries 1,280 requests a second and
// no more, however many consumers there are.
func TestManyConnectionsCarryWhatOneCannot(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for some seconds")
	}
	const streams, consumers = 128, 1000
	roundTrip, requests := 100*time.Millisecond, 20_000
	if raceDetector {
		// The limit has to be the distance, not the processor.
		roundTrip, requests = 600*time.Millisecond, 6_000
	}
	var arrived atomic.Int64
	backend := startBackend(t, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		arrived.Add(1)
		return ptraceotlp.NewExportResponse(), nil
	}, grpc.MaxConcurrentStreams(streams))
	far := startDelayProxy(t, backend, roundTrip).address()
	td := spans(2)

	factory := otlpexporter.NewFactory()
	stockConfig := factory.CreateDefaultConfig().(*otlpexporter.Config)
	stockConfig.ClientConfig.Endpoint = far
	stockConfig.ClientConfig.TLS.Insecure = true
	stockConfig.ClientConfig.Compression = configcompression.Type("none")
	stockConfig.QueueConfig.Get().NumConsumers = consumers
	stockConfig.QueueConfig.Get().QueueSize = int64(requests)
	stockConfig.TimeoutConfig.Timeout = time.Minute
	stock, err := factory.CreateTraces(context.Background(), exportertest.NewNopSettings(factory.Type()), stockConfig)
	require.NoError(t, err)
	startComponent(t, stock, componenttest.NewNopHost())
	ours := startTracesExporter(t, map[string]any{
		"endpoint": far, "compression": "none", "sending_queue": map[string]any{"num_consumers": consumers, "queue_size": requests},
	})

	// The pool grows in the first seconds of a load, which is not what is measured.
	exportAll(t, ours, requests, td, &arrived)
	stockTime := exportAll(t, stock, requests/8, td, &arrived) * 8
	oursTime := exportAll(t, ours, requests, td, &arrived)

	stats := ours.(tracesExporter).sender.transport.stats()
	ratio := stockTime.Seconds() / oursTime.Seconds()
	t.Logf("round trip %s, %d streams a connection, %d consumers: stock %.0f requests/s on one connection, pooled %.0f on %d, ratio %.1f",
		roundTrip, streams, consumers, float64(requests)/stockTime.Seconds(), float64(requests)/oursTime.Seconds(), stats.Ready, ratio)
	assert.Greater(t, ratio, 5.0)
}

func TestAConnectionCutUnderLoadLosesNothing(t *testing.T) {
	backend := newCounting()
	backend.arrived = make(chan struct{}, 100_000)
	far := startDelayProxy(t, startBackend(t, backend.export), 10*time.Millisecond)
	e := startTracesExporter(t, map[string]any{
		"endpoint": far.address(), "pool": map[string]any{"min_connections": 4},
		"retry_on_failure": map[string]any{"initial_interval": "5ms", "max_interval": "5ms"},
	})
	var callers sync.WaitGroup
	var sent atomic.Int64
	stop := make(chan struct{})
	for range 32 {
		callers.Go(func() {
			ctx, _ := observed(context.Background())
			for {
				select {
				case <-stop:
					return
				default:
				}
				assert.NoError(t, e.ConsumeTraces(ctx, spans(10)))
				sent.Add(10)
			}
		})
	}
	for range 5 {
		time.Sleep(50 * time.Millisecond)
		far.cutOne()
	}
	time.Sleep(50 * time.Millisecond)
	close(stop)
	callers.Wait()
	assert.GreaterOrEqual(t, int64(backend.total()), sent.Load(), "more is a request whose answer was cut off")
}
