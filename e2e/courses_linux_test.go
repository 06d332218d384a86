package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

const (
	// courseStep is between two samples of a recorded course.
	courseStep = 500 * time.Millisecond
	// courseRequests and courseItems are the steady load of every course, a second.
	courseRequests, courseItems = 50, 20
)

// course is what happens to a Collector while its metrics are recorded.
type course struct {
	// says is the first line of the file.
	says   string
	lasts  time.Duration
	script []turn
}

// turn is something that happens at a time after the start of the recording.
type turn struct {
	at   time.Duration
	says string
	do   func(*testing.T, *stage)
}

// stage is a Collector with what a script can change around it.
type stage struct {
	ports
	backend  *moodyBackend
	address  string
	away     func()
	disk     string
	load     *pacedLoad
	retained string // the address of the receiver whose traces are kept in memory
}

// courses are what the rules of extension/alertmanager/rules/prediction.yml have to tell apart.
var courses = map[string]course{
	"quiet": {says: "A steady load, and nothing happens.", lasts: 150 * time.Second},
	"latency": {says: "A backend that becomes slower, and quick again.", lasts: 160 * time.Second, script: []turn{
		{75 * time.Second, "10 ms instead of 5 ms to an answer", func(_ *testing.T, s *stage) { s.backend.delay.Store(int64(10 * time.Millisecond)) }},
		{80 * time.Second, "20 ms", func(_ *testing.T, s *stage) { s.backend.delay.Store(int64(20 * time.Millisecond)) }},
		{85 * time.Second, "40 ms", func(_ *testing.T, s *stage) { s.backend.delay.Store(int64(40 * time.Millisecond)) }},
		{110 * time.Second, "5 ms again", func(_ *testing.T, s *stage) { s.backend.delay.Store(int64(5 * time.Millisecond)) }},
	}},
	"throughput": {says: "Clients of which four in five stop sending, and come back.", lasts: 150 * time.Second, script: []turn{
		{75 * time.Second, "a fifth of the load", func(t *testing.T, s *stage) { s.send(t, courseRequests/5) }},
		{105 * time.Second, "all of it again", func(t *testing.T, s *stage) { s.send(t, courseRequests) }},
	}},
	"memory": {says: "Traces that are kept for a sampling decision, more and more of them; then no more come.", lasts: 160 * time.Second, script: []turn{
		{30 * time.Second, "traces to keep", func(t *testing.T, s *stage) { startPacedLoad(t, s.retained, 100, 20, 70*time.Second) }},
		{100 * time.Second, "no more traces to keep", func(*testing.T, *stage) {}},
	}},
	"disk": {says: "A disk that fills, and is cleared.", lasts: 150 * time.Second, script: []turn{
		{30 * time.Second, "files are written", func(t *testing.T, s *stage) { fill(t, s.disk, 70*time.Second) }},
		{105 * time.Second, "files are removed", func(t *testing.T, s *stage) { clearDisk(t, s.disk) }},
	}},
	"queue": {says: "A backend that is away while clients go on, and comes back.", lasts: 150 * time.Second, script: []turn{
		{40 * time.Second, "the backend is away", func(_ *testing.T, s *stage) { s.away() }},
		{95 * time.Second, "the backend is back", func(t *testing.T, s *stage) { s.backend.serve(t, s.address) }},
	}},
}

// recorded is a Collector whose own metrics go to a file. What leaves it waits in a queue, so that clients go on whatever the backend does.
func (s *stage) recorded(file string) string {
	return fmt.Sprintf(`
receivers:
  otlp: {protocols: {grpc: {endpoint: %q}}}
  otlp/retained: {protocols: {grpc: {endpoint: %q}}}
  selfmetrics: {collection_interval: %s, initial_delay: 0s, telemetry: {endpoint: "http://%s/metrics"}}
processors:
  tail_sampling: {decision_wait: 10m, num_traces: 1000000, policies: [{name: all, type: always_sample}]}
exporters:
  pooledotlp:
    endpoint: %q
    tls: {insecure: true}
    sending_queue: {queue_size: 4000}
    retry_on_failure: {initial_interval: 500ms, max_interval: 1s}
  nop: {}
  file: {path: %q, flush_interval: 200ms}
extensions:
  health_check: {endpoint: %q}
service:
  extensions: [health_check]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}
  pipelines:
    traces: {receivers: [otlp], exporters: [pooledotlp]}
    traces/retained: {receivers: [otlp/retained], processors: [tail_sampling], exporters: [nop]}
    metrics/self: {receivers: [selfmetrics], exporters: [file]}
`, s.grpc, s.retained, courseStep, s.metrics, s.address, file, s.health, s.metrics[strings.LastIndex(s.metrics, ":")+1:])
}

// TestRecordCourses records what the rules of prediction.yml are proven on, into the folder that COURSES names (`make courses`). It takes
// three minutes and has to mount a file system.
func TestRecordCourses(t *testing.T) {
	folder := os.Getenv("COURSES")
	if folder == "" {
		t.Skip("COURSES names no folder to record to")
	}
	for name, c := range courses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{ports: freePorts(t), backend: new(moodyBackend), address: freeAddress(t), retained: freeAddress(t), disk: smallDevice(t)}
			s.backend.delay.Store(int64(5 * time.Millisecond))
			s.away = s.backend.serve(t, s.address)
			file := filepath.Join(t.TempDir(), "metrics.json")
			path := writeConfig(t, s.recorded(file))
			process := startProcess(t, distribution(t), s.ports, []string{"GOMEMLIMIT=400MiB", "GOGC=25"}, "--config", path)
			s.send(t, courseRequests)
			time.Sleep(5 * time.Second) // a start is no part of a course
			start := time.Now()
			for _, turn := range c.script {
				time.Sleep(time.Until(start.Add(turn.at)))
				turn.do(t, s)
			}
			time.Sleep(time.Until(start.Add(c.lasts)))
			s.load.stop()
			process.signal(t, os.Interrupt)
			process.awaitExit(t, 30*time.Second)
			require.NoError(t, os.WriteFile(filepath.Join(folder, name+".txt"), c.text(read(t, file, s.disk, start, c.lasts)), 0o644))
		})
	}
}

// send replaces the load.
func (s *stage) send(t *testing.T, requests int) {
	t.Helper()
	if s.load != nil {
		s.load.stop()
	}
	s.load = startPacedLoad(t, s.grpc, requests, courseItems, time.Hour)
}

// pacedLoad sends requests at a rate, whatever becomes of them.
type pacedLoad struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func startPacedLoad(t *testing.T, endpoint string, requests, items int, lasts time.Duration) *pacedLoad {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	l := &pacedLoad{cancel: cancel, ended: make(chan struct{})}
	c := newClient(t, endpoint)
	go func() {
		defer close(l.ended)
		ticker := time.NewTicker(time.Second / time.Duration(requests))
		defer ticker.Stop()
		for first := 0; ; first += items {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = c.send(ctx, first, items) // what is refused is part of the course
			}
		}
	}()
	t.Cleanup(l.stop)
	return l
}

func (l *pacedLoad) stop() {
	l.cancel()
	<-l.ended
}

// smallDevice mounts a device of its own, which selfmetrics sees as it sees other disks, a third full.
func smallDevice(t *testing.T) string {
	t.Helper()
	image, directory := filepath.Join(t.TempDir(), "image"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 64<<20))
	for _, command := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, directory}} {
		output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", directory).Run()) })
	require.NoError(t, os.WriteFile(filepath.Join(directory, "before"), make([]byte, 18<<20), 0o600))
	return directory
}

// fill writes files of 128 KiB at a steady pace for a while.
func fill(t *testing.T, directory string, lasts time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = os.WriteFile(filepath.Join(directory, fmt.Sprintf("part-%d", i)), make([]byte, 96<<10), 0o600) // a full disk is part of the course
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

func clearDisk(t *testing.T, directory string) {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(directory, "part-*"))
	require.NoError(t, err)
	for _, part := range parts {
		require.NoError(t, os.Remove(part))
	}
}

// read returns the samples by series, one for each step, NaN where there is none.
func read(t *testing.T, path, disk string, start time.Time, lasts time.Duration) map[string][]float64 {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	found := map[string][]float64{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		scraped, err := new(pmetric.JSONUnmarshaler).UnmarshalMetrics(lines.Bytes())
		require.NoError(t, err)
		for _, rm := range scraped.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					if m.Type() == pmetric.MetricTypeGauge {
						take(found, m, disk, start, int(lasts/courseStep))
					}
				}
			}
		}
	}
	require.NoError(t, lines.Err())
	return found
}

// take keeps the samples of a metric that the rules look at.
func take(found map[string][]float64, m pmetric.Metric, disk string, start time.Time, steps int) {
	for _, point := range m.Gauge().DataPoints().All() {
		series, ok := seriesOf(m.Name(), point.Attributes(), disk)
		step := int(math.Round(float64(point.Timestamp().AsTime().Sub(start)) / float64(courseStep)))
		if !ok || step < 0 || step >= steps {
			continue
		}
		if found[series] == nil {
			found[series] = slices.Repeat([]float64{math.NaN()}, steps)
		}
		found[series][step] = point.DoubleValue()
	}
}

// seriesOf returns how PromQL writes a series, and whether a rule looks at it.
func seriesOf(name string, attributes pcommon.Map, disk string) (series string, ok bool) {
	switch name {
	case "otelcol.self.memory.utilization", "otelcol.self.queue.utilization":
		ok = true
	case "otelcol.self.export.latency":
		ok = hasValue(attributes, "quantile", "0.99")
	case "otelcol.self.throughput":
		ok = hasValue(attributes, "direction", "export")
	case "system.filesystem.utilization":
		ok = hasValue(attributes, "system.filesystem.mountpoint", disk)
		attributes.PutStr("system.filesystem.mountpoint", "/data") // where it is mounted for the recording says nothing
		attributes.Remove("system.device")
	}
	labels := []string{strconv.Quote(name)}
	for key, value := range attributes.All() {
		labels = append(labels, fmt.Sprintf("%q=%q", key, value.AsString()))
	}
	slices.Sort(labels[1:])
	return "{" + strings.Join(labels, ", ") + "}", ok
}

func hasValue(attributes pcommon.Map, key, value string) bool {
	found, ok := attributes.Get(key)
	return ok && found.AsString() == value
}

// text is the course as promqltest reads it. Three digits are more than the noise of the figures.
func (c course) text(found map[string][]float64) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s Recorded by `make courses`: a sample every %s.\n", c.says, courseStep)
	for _, turn := range c.script {
		fmt.Fprintf(&b, "# After %s: %s.\n", turn.at, turn.says)
	}
	series := make([]string, 0, len(found))
	for name := range found {
		series = append(series, name)
	}
	slices.Sort(series)
	for _, name := range series {
		b.WriteString(name)
		for samples := found[name]; len(samples) > 0; {
			written := sample(samples[0])
			times := 1
			for times < len(samples) && sample(samples[times]) == written {
				times++
			}
			b.WriteString(" " + written)
			if written == "_" {
				fmt.Fprintf(&b, "x%d", times)
			} else if times > 1 {
				fmt.Fprintf(&b, "x%d", times-1)
			}
			samples = samples[times:]
		}
		b.WriteString("\n")
	}
	return []byte(b.String())
}

func sample(value float64) string {
	if math.IsNaN(value) {
		return "_"
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 3, 64), 64)
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
