package adaptivebatch

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/metadata"
)

// The converter is not part of this test's process, and yet its word is to be taken.
func init() { bytepath.Converted() }

// roundTrip is how long the tests' backends take; long enough not to be taken for an asynchronous queue.
const roundTrip = 10 * time.Millisecond

// arrivalKind are decoded calls that are encoded on arrival.
const arrivalKind payloadKind = 'a'

// eachPath runs a behaviour's test in virtual time, with decoded telemetry, with requests as bytes, and with decoded telemetry that
// becomes bytes on arrival.
func eachPath(t *testing.T, test func(t *testing.T, path payloadKind)) {
	t.Helper()
	for name, path := range map[string]payloadKind{"decoded": decodedKind, "bytes": encodedKind, "encoded on arrival": arrivalKind} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, path) })
		})
	}
}

// backend stands behind the processor and keeps what it took.
type backend struct {
	// answer decides about a request, given the numbers of its spans; nil: it takes everything after roundTrip.
	answer func(ctx context.Context, spans []int64) error
	// mutates is what the backend says of itself.
	mutates bool

	mu       sync.Mutex
	requests [][]int64 // of accepted requests, the numbers of their spans
	contexts []context.Context
	inFlight int
	peak     int
}

func (b *backend) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: b.mutates}
}

func (b *backend) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	spans := numbersIn(ctx, td)
	b.mu.Lock()
	b.inFlight++
	b.peak = max(b.peak, b.inFlight)
	b.mu.Unlock()
	var err error
	if b.answer != nil {
		err = b.answer(ctx, spans)
	} else {
		time.Sleep(roundTrip)
	}
	if b.mutates {
		td.ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true })
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if err == nil {
		b.requests = append(b.requests, spans)
		b.contexts = append(b.contexts, ctx)
	}
	return err
}

// sizes returns the number of spans of each accepted request.
func (b *backend) sizes() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sizes []int
	for _, r := range b.requests {
		sizes = append(sizes, len(r))
	}
	return sizes
}

// took returns the numbers of all accepted spans in order.
func (b *backend) took() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Concat(b.requests...)
	slices.Sort(all)
	return all
}

// numbersIn returns the numbers of a request's spans, in whichever form it came.
func numbersIn(ctx context.Context, td ptrace.Traces) []int64 {
	if request, err := bytepath.Traces(ctx, td); err != nil {
		panic(err)
	} else if request != nil {
		if td, err = request.Traces(); err != nil {
			panic(err)
		}
	}
	var numbers []int64
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				n, _ := span.Attributes().Get("n")
				numbers = append(numbers, n.Int()-offset)
			}
		}
	}
	return numbers
}

// offset keeps the encoded size of all numbers the same.
const offset = 1 << 28

// numbered returns n spans with the numbers from first on.
func numbered(first, n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "test")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		spans.AppendEmpty().Attributes().PutInt("n", offset+int64(first+i))
	}
	return td
}

// sequence returns n numbers from first on.
func sequence(first, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(first + i)
	}
	return out
}

// underTest is a processor with its backend.
type underTest struct {
	*tracesProcessor
	t    *testing.T
	path payloadKind
}

// start returns a running processor with the defaults as changed by configure. It is shut down when the test ends.
func start(t *testing.T, path payloadKind, next consumer.Traces, configure func(*Config)) *underTest {
	t.Helper()
	return startWith(t, path, processortest.NewNopSettings(metadata.Type), next, configure)
}

func startWith(t *testing.T, path payloadKind, set processor.Settings, next consumer.Traces, configure func(*Config)) *underTest {
	t.Helper()
	return startFrom(t, NewFactory(), path, set, next, configure)
}

func startFrom(
	t *testing.T, f processor.Factory, path payloadKind, set processor.Settings, next consumer.Traces, configure func(*Config),
) *underTest {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	if path == arrivalKind {
		cfg.Encode = EncodeVerified
	}
	if configure != nil {
		configure(cfg)
	}
	require.NoError(t, cfg.Validate())
	p, err := f.CreateTraces(t.Context(), set, cfg, next)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	u := &underTest{tracesProcessor: p.(*tracesProcessor), t: t, path: path}
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return u
}

// send sends n spans from number first on and waits for the answer.
func (u *underTest) send(ctx context.Context, first, n int) error {
	return u.sendTraces(ctx, numbered(first, n))
}

func (u *underTest) sendTraces(ctx context.Context, td ptrace.Traces) error {
	if u.path != encodedKind {
		return u.ConsumeTraces(ctx, td)
	}
	request, err := wire.FromTraces(td, mem.NopBufferPool{})
	if err != nil {
		return err
	}
	defer request.Free()
	return u.ConsumeTraces(bytepath.NewContext(ctx, request), bytepath.TracesMarker())
}

// goSend sends without waiting; the answer comes through the channel.
func (u *underTest) goSend(ctx context.Context, first, n int) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- u.send(ctx, first, n) }()
	synctest.Wait() // so that calls arrive in the order of the test
	return answer
}

// requireNoAnswer fails if there is an answer already.
func requireNoAnswer(t *testing.T, answer <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-answer:
		require.FailNow(t, "an answer came too early", "%v", err)
	default:
	}
}

// requireEmpty checks that nothing is left behind: no bytes, no callers, no slot.
func (u *underTest) requireEmpty() {
	u.t.Helper()
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	assert.Zero(u.t, u.pending, "pending bytes")
	assert.Zero(u.t, u.waitingBytes, "waiting bytes")
	assert.Zero(u.t, u.waitingCalls, "waiting calls")
	assert.Zero(u.t, u.inFlight, "exports in flight, and waiting for their retry")
	assert.Zero(u.t, u.held.length, "held calls")
	if u.buffers != nil {
		assert.Zero(u.t, u.buffers.Stats().InUse, "buffers")
	}
	for _, s := range u.streams {
		assert.True(u.t, s.idle(), "stream %q is idle", s.key)
		assert.Zero(u.t, s.items, "items in the queue")
		assert.Zero(u.t, s.bytes, "bytes in the queue")
	}
}

// fixed makes batches that leave at size items, or after a second.
func fixed(size int) func(*Config) {
	return func(cfg *Config) {
		cfg.Adaptive = false
		cfg.SendBatchSize = uint32(size)
		cfg.SendBatchMinSize = 0
		cfg.SendBatchMaxSize = 0
		cfg.Timeout = time.Second
	}
}

// all applies several configurations in order.
func all(configures ...func(*Config)) func(*Config) {
	return func(cfg *Config) {
		for _, configure := range configures {
			configure(cfg)
		}
	}
}
