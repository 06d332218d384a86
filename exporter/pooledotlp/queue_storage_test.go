package pooledotlp

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/encoding/protowire"
)

// memoryStorage is a storage extension whose contents outlive its clients.
type memoryStorage struct {
	component.StartFunc
	component.ShutdownFunc
	mu   sync.Mutex
	data map[string][]byte
	// fail makes writes fail, as on a full disk.
	fail atomic.Bool
	// failReads makes reads fail, as on a disk that is gone.
	failReads atomic.Bool
	// history is what was on the disk after each write: what a process finds that starts after one killed there.
	history []map[string][]byte
}

var (
	errDiskFull = errors.New("no space left on device")
	errDiskGone = errors.New("input/output error")
)

func (s *memoryStorage) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return &memoryClient{s}, nil
}

type memoryClient struct{ *memoryStorage }

func (c *memoryClient) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

func (c *memoryClient) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c *memoryClient) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c *memoryClient) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, op := range ops {
		if op.Type != storage.Get && c.fail.Load() {
			return errDiskFull
		}
		if op.Type == storage.Get && c.failReads.Load() {
			return errDiskGone
		}
	}
	wrote := false
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = c.data[op.Key]
			continue
		case storage.Set:
			c.data[op.Key] = append([]byte(nil), op.Value...)
		case storage.Delete:
			delete(c.data, op.Key)
		}
		wrote = true
	}
	if wrote {
		c.history = append(c.history, maps.Clone(c.data))
	}
	return nil
}

func (c *memoryClient) Walk(_ context.Context, fn storage.WalkFunc) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, value := range c.data {
		if _, err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (*memoryClient) Close(context.Context) error { return nil }

type hostWith struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h hostWith) GetExtensions() map[component.ID]component.Component { return h.extensions }

func storageHost(s *memoryStorage) component.Host {
	return hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{component.MustNewID("file_storage"): s}}
}

func TestWhatIsOnDiskIsSentAfterARestart(t *testing.T) {
	for name, queue := range map[string]map[string]any{
		"one by one": {"storage": "file_storage"},
		"batched":    {"storage": "file_storage", "batch": map[string]any{"min_size": 30, "flush_timeout": "10ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			disk := &memoryStorage{data: map[string][]byte{}}
			backend := newCounting()
			backend.failing.Store(true)
			endpoint := startBackend(t, backend.export)
			cfg := newConfig(t, map[string]any{"endpoint": endpoint, "sending_queue": queue})
			set := exportertest.NewNopSettings(NewFactory().Type())

			first := newTracesExporter(t, set, cfg)
			require.NoError(t, first.Start(context.Background(), storageHost(disk)))
			// An answer without an error means "on disk", for callers that are a queue themselves too.
			ctx, seen := observed(context.Background())
			for range 5 {
				require.NoError(t, first.ConsumeTraces(ctx, spans(10)))
			}
			backend.waitForCall(t)
			require.NoError(t, first.Shutdown(context.Background()))
			assert.Zero(t, backend.total())
			assert.NotEmpty(t, seen.outcomes)

			backend.failing.Store(false)
			second := newTracesExporter(t, set, cfg)
			require.NoError(t, second.Start(context.Background(), storageHost(disk)))
			require.Eventually(t, func() bool { return backend.total() >= 50 }, 10*time.Second, time.Millisecond)
			require.NoError(t, second.Shutdown(context.Background()))
			assert.Equal(t, 50, backend.total())
		})
	}
}

func TestAFullDiskRefuses(t *testing.T) {
	disk := &memoryStorage{data: map[string][]byte{}}
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage"},
	}))
	startComponent(t, e, storageHost(disk))
	disk.fail.Store(true)
	require.ErrorIs(t, e.ConsumeTraces(context.Background(), spans(1)), errDiskFull)
	disk.fail.Store(false)
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(1)))
	require.Eventually(t, func() bool { return backend.total() == 1 }, 10*time.Second, time.Millisecond)
}

// killed returns what is on the disk when a process is killed that was sending three requests of ten spans, in vain.
func killed(t *testing.T, cfg *Config, backend *counting) map[string][]byte {
	t.Helper()
	disk := &memoryStorage{data: map[string][]byte{}}
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
	require.NoError(t, e.Start(context.Background(), storageHost(disk)))
	for range 3 {
		require.NoError(t, e.ConsumeTraces(context.Background(), spans(10)))
	}
	for range 3 {
		backend.waitForCall(t)
	}
	disk.mu.Lock()
	found := maps.Clone(disk.data)
	disk.mu.Unlock()
	require.NoError(t, e.Shutdown(context.Background()))
	return found
}

// delivered starts an exporter on a disk, with or without the mended storage, and returns how many spans arrive.
func delivered(t *testing.T, cfg *Config, backend *counting, disk map[string][]byte) int {
	t.Helper()
	backend.mu.Lock()
	clear(backend.seen)
	backend.mu.Unlock()
	s := &memoryStorage{data: maps.Clone(disk)}
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
	require.NoError(t, e.Start(context.Background(), storageHost(s)))
	require.Eventually(t, func() bool { return !hasItems(s) }, 10*time.Second, time.Millisecond)
	require.NoError(t, e.Shutdown(context.Background()))
	return backend.total()
}

func hasItems(s *memoryStorage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.data {
		if isItem(key) {
			return true
		}
	}
	return false
}

// A process that died while it was sending is started, and killed again after each of its writes.
func TestNoMomentOfARestartLosesWhatIsOnDisk(t *testing.T) {
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	cfg := newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage", "num_consumers": 3},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	})
	backend.failing.Store(true)
	first := killed(t, cfg, backend)

	for _, mended := range []bool{false, true} {
		backend.failing.Store(true)
		disk := &memoryStorage{data: maps.Clone(first)}
		e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg).(tracesExporter)
		if mended {
			require.NoError(t, e.Start(context.Background(), storageHost(disk)))
		} else {
			require.NoError(t, e.sender.start(context.Background(), storageHost(disk)))
			require.NoError(t, e.queued.Start(context.Background(), storageHost(disk)))
		}
		for range 3 {
			backend.waitForCall(t)
		}
		require.NoError(t, e.Shutdown(context.Background()))
		backend.failing.Store(false)

		least := 30
		for _, moment := range disk.history {
			least = min(least, delivered(t, cfg, backend, moment))
		}
		if mended {
			assert.Equal(t, 30, least)
		} else {
			assert.Less(t, least, 30, "the queue's own start no longer loses items: queue_storage.go may be simplified")
		}
	}
}

func TestAStartThatCannotRestoreTheQueueFailsAndChangesNothing(t *testing.T) {
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	cfg := newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage"},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	})
	backend.failing.Store(true)
	found := killed(t, cfg, backend)
	backend.failing.Store(false)

	for name, c := range map[string]struct {
		fail func(*memoryStorage) *atomic.Bool
		want error
	}{
		"full disk": {func(s *memoryStorage) *atomic.Bool { return &s.fail }, errDiskFull},
		"no disk":   {func(s *memoryStorage) *atomic.Bool { return &s.failReads }, errDiskGone},
	} {
		t.Run(name, func(t *testing.T) {
			disk := &memoryStorage{data: maps.Clone(found)}
			c.fail(disk).Store(true)
			e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
			err := e.Start(context.Background(), storageHost(disk))
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, "the queue on disk could not be restored and is left as it is")
			c.fail(disk).Store(false)
			require.NoError(t, e.Shutdown(context.Background()))
			assert.Equal(t, found, disk.data)
			assert.Equal(t, 30, delivered(t, cfg, backend, disk.data))
		})
	}
}

func TestWhatCannotBeReadStaysOnDisk(t *testing.T) {
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	disk := &memoryStorage{data: map[string][]byte{}}
	cfg := newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage", "num_consumers": 1},
		"retry_on_failure": map[string]any{"initial_interval": "10ms", "max_interval": "10ms"},
	})
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
	host := newStatusHost()
	host.Host = storageHost(disk)
	require.NoError(t, e.Start(context.Background(), host))
	backend.failing.Store(true)
	for n := range 3 {
		require.NoError(t, e.ConsumeTraces(context.Background(), numbered(n)))
	}
	backend.waitForCall(t)
	// The disk is gone for a moment, while one request is being sent and two wait.
	disk.failReads.Store(true)
	backend.failing.Store(false)
	require.Eventually(t, func() bool { return slices.Contains(host.statuses(), componentstatus.StatusPermanentError) },
		10*time.Second, time.Millisecond)
	disk.failReads.Store(false)
	require.ErrorIs(t, e.ConsumeTraces(context.Background(), numbered(3)), errDiskGone)
	require.NoError(t, e.Shutdown(context.Background()))
	assert.Equal(t, 10, backend.total())

	again := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
	require.NoError(t, again.Start(context.Background(), storageHost(disk)))
	require.Eventually(t, func() bool { return !hasItems(disk) }, 10*time.Second, time.Millisecond)
	require.NoError(t, again.Shutdown(context.Background()))
	assert.Len(t, backend.seen, 3, "and what was being sent then may come once more")
}

func TestALostIndexOfTheQueueIsMadeAnew(t *testing.T) {
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	cfg := newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage", "num_consumers": 2},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	})
	backend.failing.Store(true)
	disk := &memoryStorage{data: map[string][]byte{}}
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
	require.NoError(t, e.Start(context.Background(), storageHost(disk)))
	for range 5 {
		require.NoError(t, e.ConsumeTraces(context.Background(), spans(10)))
	}
	backend.waitForCall(t)
	backend.waitForCall(t)
	require.NoError(t, e.Shutdown(context.Background()))
	require.True(t, isIndex(disk.data[indexKey]), "the queue's index has another form now")
	backend.failing.Store(false)

	for name, index := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 40), "no protobuf": {0x1a, 9}, "another message": {0x18, 1, 0x20, 2},
		"written before it was read": protowire.AppendFixed64([]byte{fieldReadIndex<<3 | 1}, 7),
	} {
		t.Run(name, func(t *testing.T) {
			damaged := maps.Clone(disk.data)
			damaged[indexKey] = index
			assert.Equal(t, 50, delivered(t, cfg, backend, damaged))
		})
	}
}

// listless is a storage that cannot list what it holds.
type listless struct{ *memoryStorage }

func (s listless) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return struct{ storage.Client }{&memoryClient{s.memoryStorage}}, nil
}

func TestALostIndexInAStorageThatCannotListStopsTheStart(t *testing.T) {
	cfg := newConfig(t, map[string]any{"endpoint": "localhost:1", "sending_queue": map[string]any{"storage": "file_storage"}})
	for index, want := range map[string]string{"": "", "\xff": "this storage cannot list what it holds"} {
		s := listless{&memoryStorage{data: map[string][]byte{indexKey: []byte(index)}}}
		host := hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{component.MustNewID("file_storage"): s}}
		e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
		err := e.Start(context.Background(), host)
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
		require.NoError(t, e.Shutdown(context.Background()))
	}
}

func TestDeletionsOfAStartWaitUntilTheDiskTakesThem(t *testing.T) {
	ctx := context.Background()
	next := func(c *queueClient, item string) error {
		return c.Batch(ctx, storage.SetOperation(indexKey, []byte("index")), storage.GetOperation(item))
	}
	for name, fails := range map[string]func(*testing.T, *queueClient){
		"with a read":             func(t *testing.T, c *queueClient) { require.NoError(t, next(c, "8"), "it is read all the same") },
		"at the end of the start": func(t *testing.T, c *queueClient) { require.NoError(t, c.started(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := &memoryStorage{data: map[string][]byte{"3": {1}, "4": {1}, "8": {1}, "9": {1}}}
			c := &queueClient{Client: &memoryClient{disk}, logger: zap.NewNop(), starting: true}
			require.NoError(t, c.Batch(ctx, storage.DeleteOperation("3"), storage.DeleteOperation("4")))
			disk.fail.Store(true)
			fails(t, c)
			disk.fail.Store(false)
			assert.Contains(t, disk.data, "3")
			require.NoError(t, next(c, "9"))
			assert.Equal(t, []string{"8", "9", indexKey}, slices.Sorted(maps.Keys(disk.data)))
		})
	}
}

func TestAFullDiskDoesNotStopSending(t *testing.T) {
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	disk := &memoryStorage{data: map[string][]byte{}}
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage", "num_consumers": 1},
		"retry_on_failure": map[string]any{"initial_interval": "10ms", "max_interval": "10ms"},
	}))
	startComponent(t, e, storageHost(disk))
	backend.failing.Store(true)
	for range 3 {
		require.NoError(t, e.ConsumeTraces(context.Background(), spans(10)))
	}
	backend.waitForCall(t)
	// The disk fills up while one request is being sent and two wait.
	disk.fail.Store(true)
	backend.failing.Store(false)
	require.Eventually(t, func() bool { return backend.total() == 30 }, 10*time.Second, time.Millisecond)
	disk.fail.Store(false)
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(10)))
	require.Eventually(t, func() bool { return backend.total() == 40 }, 10*time.Second, time.Millisecond)
}

func TestARecordOnDiskThatCannotBeReadIsCounted(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut off": func(b []byte) []byte { return b[:len(b)-1] },
		"zeros":   func(b []byte) []byte { return make([]byte, len(b)) },
		"foreign": func(b []byte) []byte {
			for i := len(b) / 2; i < len(b); i++ {
				b[i] ^= 0xa5
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) { testDamagedRecord(t, damage) })
	}
}

func testDamagedRecord(t *testing.T, damage func([]byte) []byte) {
	t.Helper()
	backend := newCounting()
	endpoint := startBackend(t, backend.export)
	cfg := newConfig(t, map[string]any{
		"endpoint": endpoint, "sending_queue": map[string]any{"storage": "file_storage"},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	})
	backend.failing.Store(true)
	found := killed(t, cfg, backend)
	backend.failing.Store(false)
	for key := range found {
		if isItem(key) {
			found[key] = damage(found[key])
			break
		}
	}
	set, tel := measuredSettings(t)
	core, logs := observer.New(zap.ErrorLevel)
	set.Logger = zap.New(core)
	e := newTracesExporter(t, set, cfg)
	startComponent(t, e, storageHost(&memoryStorage{data: found}))
	require.Eventually(t, func() bool { return backend.total() == 20 }, 10*time.Second, time.Millisecond)
	dropped, err := tel.GetMetric("otelcol_exporter_pooledotlp_dropped_items")
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{dropUndecodable: 1}, byAttribute(t, dropped, "reason"))
	assert.Equal(t, 1, logs.FilterMessageSnippet("cannot be read and is dropped").Len())
}

func TestAStorageThatIsNotThereIsTheQueuesToReport(t *testing.T) {
	cfg := newConfig(t, map[string]any{"endpoint": "localhost:1", "sending_queue": map[string]any{"storage": "nonesuch"}})
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), cfg)
	require.ErrorContains(t, e.Start(context.Background(), componenttest.NewNopHost()), "no storage client extension found")
	require.NoError(t, e.Shutdown(context.Background()))
}

// deep makes a span that pdata reads, but nobody else.
func deep() ptrace.Traces {
	td := spans(1)
	value := td.ResourceSpans().At(0).Resource().Attributes().PutEmpty("deep")
	for range 6000 { // two messages each
		value = value.SetEmptySlice().AppendEmpty()
	}
	return td
}

func TestWhatIsRefusedTakesNoRoomInTheQueue(t *testing.T) {
	backend := newCounting()
	backend.failing.Store(true)
	set, tel := measuredSettings(t)
	e := newTracesExporter(t, set, newConfig(t, map[string]any{
		"endpoint": startBackend(t, backend.export), "sending_queue": map[string]any{"storage": "file_storage", "sizer": "items"},
		"retry_on_failure": map[string]any{"initial_interval": "1h", "max_interval": "1h"},
	}))
	startComponent(t, e, storageHost(&memoryStorage{data: map[string][]byte{}}))
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(3)))
	backend.waitForCall(t) // an empty queue would begin to count anew
	for range 5 {
		require.Error(t, e.ConsumeTraces(context.Background(), deep()))
	}
	assert.EqualValues(t, 3, sumOf(t, tel, "otelcol_exporter_queue_size"))
}

// What is accepted for the disk can be read from it.
func TestWhatCouldNotBeReadAgainIsRefused(t *testing.T) {
	backend := newCounting()
	disk := &memoryStorage{data: map[string][]byte{}}
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, map[string]any{
		"endpoint": startBackend(t, backend.export), "sending_queue": map[string]any{"storage": "file_storage"},
	}))
	startComponent(t, e, storageHost(disk))
	err := e.ConsumeTraces(context.Background(), deep())
	require.ErrorContains(t, err, "nested deeper than 10000")
	assert.True(t, consumererror.IsPermanent(err))
	require.NoError(t, e.ConsumeTraces(context.Background(), spans(3)))
	require.Eventually(t, func() bool { return backend.total() == 3 && !hasItems(disk) }, 10*time.Second, time.Millisecond)
	assert.Zero(t, e.(tracesExporter).pooled.Stats().InUse)
}
