package pooledotlp

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/filestorage"
)

// The process that is killed is this test binary; these tell it what to do.
const (
	killDirectory = "POOLEDOTLP_KILL_DIRECTORY"
	killEndpoint  = "POOLEDOTLP_KILL_ENDPOINT"
	killFirst     = "POOLEDOTLP_KILL_FIRST"
	// killCount sets how often the process is killed.
	killCount = "POOLEDOTLP_KILLS"
)

// fileStorageHost is a host with a file_storage in a directory.
func fileStorageHost(t *testing.T, directory string, logger *zap.Logger) component.Host {
	t.Helper()
	factory := filestorage.NewFactory()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"directory": directory, "recreate": true}).Unmarshal(cfg))
	set := extensiontest.NewNopSettings(factory.Type())
	set.Logger = logger
	disk, err := factory.Create(context.Background(), set, cfg)
	require.NoError(t, err)
	startComponent(t, disk, componenttest.NewNopHost())
	return hostWith{componenttest.NewNopHost(), map[component.ID]component.Component{component.MustNewID("file_storage"): disk}}
}

// numbered makes one request of ten spans that carry its number.
func numbered(n int) ptrace.Traces {
	td := spans(10)
	for _, s := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
		s.SetName(strconv.Itoa(n))
	}
	return td
}

// TestKillChild is the process that is killed: it exports numbered requests and prints the number of each that is accepted.
func TestKillChild(t *testing.T) {
	directory := os.Getenv(killDirectory)
	if directory == "" {
		t.Skip("only as a child of TestKillLosesNothing")
	}
	host := fileStorageHost(t, directory, zap.NewNop())
	set := exportertest.NewNopSettings(NewFactory().Type())
	set.ID = component.MustNewID("pooledotlp")
	queue := map[string]any{"storage": "file_storage", "num_consumers": 4, "queue_size": 100_000}
	e := newTracesExporter(t, set, newConfig(t, map[string]any{
		"endpoint": os.Getenv(killEndpoint), "sending_queue": queue,
		"retry_on_failure": map[string]any{"initial_interval": "5ms", "max_interval": "20ms"},
	}))
	require.NoError(t, e.Start(context.Background(), host))
	fmt.Println("started")
	first, err := strconv.Atoi(os.Getenv(killFirst))
	require.NoError(t, err)
	for n := first; ; n++ {
		if first < 0 { // only what is on disk
			select {}
		}
		require.NoError(t, e.ConsumeTraces(context.Background(), numbered(n)))
		fmt.Println("accepted", n)
	}
}

func TestKillLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for some seconds")
	}
	kills := 10
	if n, err := strconv.Atoi(os.Getenv(killCount)); err == nil {
		kills = n
	}
	r := rand.New(rand.NewPCG(1, uint64(kills)))
	var mu sync.Mutex
	outages := rand.New(rand.NewPCG(2, uint64(kills)))
	arrived := map[int]int{}
	endpoint := startBackend(t, func(_ context.Context, request ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		if outages.IntN(10) < 3 {
			return ptraceotlp.NewExportResponse(), status.Error(codes.Unavailable, "not now")
		}
		n, err := strconv.Atoi(request.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name())
		assert.NoError(t, err)
		arrived[n]++
		return ptraceotlp.NewExportResponse(), nil
	})
	directory := t.TempDir()

	var accepted []int
	for range kills {
		// Half of the lives are so short that the queue is still putting itself in order.
		life := time.Duration(r.IntN(20)) * time.Millisecond
		if r.IntN(2) == 0 {
			life = time.Duration(r.IntN(400)) * time.Millisecond
		}
		accepted = append(accepted, liveAndDie(t, directory, endpoint, len(accepted)+1_000*len(accepted), life, nil)...)
	}
	require.NotEmpty(t, accepted)
	missing := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range accepted {
			if arrived[a] == 0 {
				n++
			}
		}
		return n
	}
	liveAndDie(t, directory, endpoint, -1, 30*time.Second, func() bool { return missing() == 0 })

	assert.Zero(t, missing(), "accepted and never arrived")
	duplicates := 0
	for _, times := range arrived {
		duplicates += times - 1
	}
	t.Logf("%d kills: %d requests accepted, none lost, %d sent more than once", kills, len(accepted), duplicates)
}

// liveAndDie starts the child and kills it after a time, counted from when its exporter has started, or when done says so.
// It returns the numbers that the child said were accepted.
func liveAndDie(t *testing.T, directory, endpoint string, first int, life time.Duration, done func() bool) (accepted []int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^TestKillChild$")
	child.Env = append(os.Environ(), killDirectory+"="+directory, killEndpoint+"="+endpoint, killFirst+"="+strconv.Itoa(first))
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	kill := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		<-kill
		deadline := time.After(life)
		for done == nil || !done() {
			select {
			case <-deadline:
				_ = child.Process.Kill()
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		_ = child.Process.Kill()
	})
	started := sync.OnceFunc(func() { close(kill) })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if number, ok := strings.CutPrefix(lines.Text(), "accepted "); ok {
			n, err := strconv.Atoi(number)
			require.NoError(t, err)
			accepted = append(accepted, n)
		} else if done == nil || lines.Text() == "started" {
			started()
		}
	}
	started()
	killer.Wait()
	_ = child.Wait()
	return accepted
}
