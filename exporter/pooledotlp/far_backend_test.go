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

// streamLimit is what load balancers commonly allow on one connection.
const streamLimit = 128

// With 128 streams a connection, one connection has at most 128 requests under way. The backend answers nobody until more
// than five times as many are there at once, which a single connection could never bring about. They come in waves that
// one connection can still take, as grpc-go leaves a request on the connection that it was given to.
func TestManyConnectionsCarryWhatOneCannot(t *testing.T) {
	const waves, wave = 7, 100
	var here atomic.Int64
	all := make(chan struct{})
	backend := startBackend(t, func(ctx context.Context, _ ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		if here.Add(1) == waves*wave {
			close(all)
		}
		select {
		case <-all:
			return ptraceotlp.NewExportResponse(), nil
		case <-ctx.Done():
			return ptraceotlp.NewExportResponse(), ctx.Err()
		}
	}, grpc.MaxConcurrentStreams(streamLimit))
	e := startTracesExporter(t, map[string]any{
		"endpoint": startDelayProxy(t, backend, 20*time.Millisecond).address(), "compression": "none", "timeout": "1m",
	})
	pool := e.(tracesExporter).sender.transport
	var callers sync.WaitGroup
	for n := range waves {
		for range wave {
			callers.Go(func() {
				ctx, _ := observed(context.Background())
				assert.NoError(t, e.ConsumeTraces(ctx, spans(2)))
			})
		}
		require.Eventually(t, func() bool { return here.Load() == int64((n+1)*wave) && pool.stats().Ready > n+1 },
			30*time.Second, time.Millisecond)
	}
	callers.Wait()
}

// exportAll exports requests through an exporter's queue and returns when all have arrived.
func exportAll(b *testing.B, e exporter.Traces, requests int, td ptrace.Traces, arrived *atomic.Int64) {
	b.Helper()
	want := arrived.Load() + int64(requests)
	for range requests {
		require.NoError(b, e.ConsumeTraces(context.Background(), td))
	}
	require.Eventually(b, func() bool { return arrived.Load() >= want }, time.Minute, time.Millisecond)
}

// BenchmarkFarBackend exports 1,000 requests for each operation to a backend 100 ms away that allows 128 streams a connection, with
// 1,000 consumers: the stock exporter's one connection carries at most 1,280 requests a second.
func BenchmarkFarBackend(b *testing.B) {
	const consumers, requests = 1000, 1000
	var arrived atomic.Int64
	backend := startBackend(b, func(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		arrived.Add(1)
		return ptraceotlp.NewExportResponse(), nil
	}, grpc.MaxConcurrentStreams(streamLimit))
	far := startDelayProxy(b, backend, 100*time.Millisecond).address()

	factory := otlpexporter.NewFactory()
	stockConfig := factory.CreateDefaultConfig().(*otlpexporter.Config)
	stockConfig.ClientConfig.Endpoint = far
	stockConfig.ClientConfig.TLS.Insecure = true
	stockConfig.ClientConfig.Compression = configcompression.Type("none")
	stockConfig.QueueConfig.Get().NumConsumers = consumers
	stockConfig.QueueConfig.Get().QueueSize = 2 * requests
	stockConfig.TimeoutConfig.Timeout = time.Minute
	stock, err := factory.CreateTraces(context.Background(), exportertest.NewNopSettings(factory.Type()), stockConfig)
	require.NoError(b, err)
	startComponent(b, stock, componenttest.NewNopHost())
	ours := startTracesExporter(b, map[string]any{
		"endpoint": far, "compression": "none", "sending_queue": map[string]any{"num_consumers": consumers, "queue_size": 2 * requests},
	})
	for _, contender := range []struct {
		name     string
		exporter exporter.Traces
	}{{"stock", stock}, {"pooled", ours}} {
		b.Run(contender.name, func(b *testing.B) {
			exportAll(b, contender.exporter, requests, spans(2), &arrived) // the pool grows with its first load
			b.ResetTimer()
			for range b.N {
				exportAll(b, contender.exporter, requests, spans(2), &arrived)
			}
			b.ReportMetric(float64(requests*b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
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
