package pooledotlp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/sample"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

const (
	comparisonCallers = 64
	comparisonWarmUp  = 500 * time.Millisecond
	comparisonRounds  = 5
)

// comparisonTime is how long each subject is measured in each round.
func comparisonTime(b *testing.B) time.Duration {
	b.Helper()
	d, err := time.ParseDuration(os.Getenv("POOLEDOTLP_COMPARISON_TIME"))
	if err != nil {
		return time.Second
	}
	return d
}

// BenchmarkComparison compares the exporter with the stock one: each in a process with a stock otlp receiver in front, 64
// callers that wait for the answer, a backend that discards. It prints the medians of interleaved rounds, in brackets those
// of the ratios to the first subject. GOGC in the environment is that of both; POOLEDOTLP_COMPARISON_TIME is the time for each
// subject and round, and POOLEDOTLP_COMPARISON_PROFILE a path for CPU profiles of them.
func BenchmarkComparison(b *testing.B) {
	for _, algorithm := range []string{"none", "gzip", "zstd"} {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d spans", algorithm, n), func(b *testing.B) {
				compare(b, n,
					subject{Name: "otlp", Stock: true, Compression: algorithm},
					subject{Name: "pooledotlp", Compression: algorithm})
			})
		}
	}
}

// BenchmarkOptimizations shows what each optimization brings, from none to all.
func BenchmarkOptimizations(b *testing.B) {
	withoutBuffers := map[string]any{"max_idle_bytes": 0}
	for _, algorithm := range []string{"gzip", "zstd"} {
		b.Run(algorithm+"/100 spans", func(b *testing.B) {
			compare(b, 100,
				subject{Name: "none", Compression: algorithm, Keys: map[string]any{"optimizations": "none"}},
				subject{
					Name: "own compression", Compression: algorithm,
					Keys: map[string]any{"buffers": withoutBuffers, "balancer_name": "round_robin"},
				},
				subject{Name: "and reused buffers", Compression: algorithm, Keys: map[string]any{"balancer_name": "round_robin"}},
				subject{Name: "and the pool: all", Compression: algorithm})
		})
	}
}

// usage is what one subject used in one round.
type usage struct {
	cpuPerSpan, bytesPerSpan, peakBytes, spansPerSecond float64
	p50, p99                                            time.Duration
}

// compare measures the subjects in turns and prints a row for each.
func compare(b *testing.B, spans int, subjects ...subject) {
	b.Helper()
	rounds := make([][]usage, len(subjects))
	for range comparisonRounds {
		for i, s := range subjects {
			rounds[i] = append(rounds[i], measure(b, s, spans))
		}
	}
	b.ReportMetric(0, "ns/op") // means nothing here
	b.Logf("| %s | CPU, µs/span | bytes/span | peak memory, MB | spans/s | P50, ms | P99, ms |", b.Name())
	for i, s := range subjects {
		middle := func(value func(usage) float64) float64 { return median(rounds[i], value) }
		// The machine is not the same from round to round: what is compared is the same round.
		ratio := func(value func(usage) float64) string {
			pairs := make([][2]usage, comparisonRounds)
			for r := range pairs {
				pairs[r] = [2]usage{rounds[i][r], rounds[0][r]}
			}
			return fmt.Sprintf("%.2f (%.2f)", middle(value), median(pairs, func(p [2]usage) float64 { return value(p[0]) / value(p[1]) }))
		}
		b.Logf("| %s | %s | %.1f | %s | %.0f | %.1f | %.1f |", s.Name,
			ratio(func(u usage) float64 { return u.cpuPerSpan * 1e6 }),
			middle(func(u usage) float64 { return u.bytesPerSpan }),
			ratio(func(u usage) float64 { return u.peakBytes / 1e6 }),
			middle(func(u usage) float64 { return u.spansPerSecond }),
			middle(func(u usage) float64 { return u.p50.Seconds() * 1e3 }),
			middle(func(u usage) float64 { return u.p99.Seconds() * 1e3 }))
	}
}

func median[T any](all []T, value func(T) float64) float64 {
	var values []float64
	for _, one := range all {
		values = append(values, value(one))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// measure runs one subject under load.
func measure(b *testing.B, s subject, spans int) usage {
	b.Helper()
	var sent atomic.Int64
	s.Backend = startDiscard(b, s.Compression, &sent)
	pid, endpoint, end := startSubject(b, s)
	defer end()
	payload, err := ptraceotlp.NewExportRequestFromTraces(sample.Spans(spans)).MarshalProto()
	require.NoError(b, err)
	l := startLoad(b, endpoint, payload)
	defer l.stop()

	time.Sleep(comparisonWarmUp)
	sent.Store(0)
	l.answered()
	start, cpu := time.Now(), cpuTime(b, pid)
	var peak float64
	for time.Since(start) < comparisonTime(b) {
		time.Sleep(10 * time.Millisecond)
		peak = max(peak, anonymousMemory(b, pid))
	}
	latencies := l.answered()
	used := cpuTime(b, pid) - cpu
	elapsed := time.Since(start)
	slices.Sort(latencies)
	total := float64(len(latencies) * spans)
	return usage{
		cpuPerSpan: used.Seconds() / total, bytesPerSpan: float64(sent.Load()) / total, peakBytes: peak,
		spansPerSecond: total / elapsed.Seconds(),
		p50:            latencies[len(latencies)/2], p99: latencies[len(latencies)*99/100],
	}
}

// startSubject starts the process and waits for its receiver.
func startSubject(b *testing.B, s subject) (pid int, endpoint string, end func()) {
	b.Helper()
	encoded, err := json.Marshal(s)
	require.NoError(b, err)
	arguments := []string{"-test.run", "^TestComparisonChild$"}
	if profile := os.Getenv("POOLEDOTLP_COMPARISON_PROFILE"); profile != "" {
		arguments = append(arguments, "-test.cpuprofile", profile+"."+strings.ReplaceAll(s.Name, " ", "-"))
	}
	child := exec.Command(os.Args[0], arguments...)
	child.Env = append(os.Environ(), comparisonChild+"="+string(encoded))
	in, err := child.StdinPipe()
	require.NoError(b, err)
	out, err := child.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, child.Start())
	end = func() { in.Close(); _ = child.Wait() }
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return child.Process.Pid, address, end
		}
	}
	end()
	b.Fatal("the child did not start")
	return 0, "", nil
}

// load is callers that send one request after the other.
type load struct {
	cancel    context.CancelFunc
	callers   sync.WaitGroup
	mu        sync.Mutex
	latencies []time.Duration
}

func startLoad(b *testing.B, endpoint string, payload []byte) *load {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for range 2 {
		conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(b, err)
		b.Cleanup(func() { conn.Close() })
		for range comparisonCallers / 2 {
			l.callers.Go(func() {
				for ctx.Err() == nil {
					start := time.Now()
					var response partialSuccess
					err := conn.Invoke(ctx, grpcMethods[wire.Traces], mem.BufferSlice{mem.SliceBuffer(payload)}, &response,
						grpc.ForceCodecV2(payloadCodec{}), grpc.WaitForReady(true))
					if err != nil && ctx.Err() == nil {
						b.Error(err)
						return
					}
					l.mu.Lock()
					l.latencies = append(l.latencies, time.Since(start))
					l.mu.Unlock()
				}
			})
		}
	}
	return l
}

// answered returns the latencies since the last call of it.
func (l *load) answered() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.latencies
	l.latencies = nil
	return out
}

func (l *load) stop() {
	l.cancel()
	l.callers.Wait()
}

// cpuTime is what a process has used, in user and system mode.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	// The name, in brackets, may have spaces; the times are fields 14 and 15 of the line, in hundredths of a second.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		require.NoError(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// anonymousMemory is what a process holds beside its files, in bytes.
func anonymousMemory(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "RssAnon: %f kB", &kib); n == 1 {
			return kib * 1024
		}
	}
	b.Fatal("no RssAnon")
	return 0
}
