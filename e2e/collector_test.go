package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// repository is the root of the work tree; the tests run in e2e/.
const repository = ".."

// binary returns the path of a built program, or stops the test with the command that builds it.
func binary(t *testing.T, path, target string) string {
	t.Helper()
	absolute, err := filepath.Abs(filepath.Join(repository, path))
	require.NoError(t, err)
	_, err = os.Stat(absolute)
	require.NoError(t, err, "not built; run `make %s`", target)
	return absolute
}

func distribution(t *testing.T) string {
	t.Helper()
	return binary(t, "dist/otelcol-adaptive", "build")
}

// freeAddress returns a loopback address that nobody else takes.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := nextFreeAddress()
	require.NoError(t, err)
	return address
}

// ports are the addresses of one Collector under test.
type ports struct {
	grpc, http, metrics, health string
}

// mainJob is the configuration of the product's main job, with a backend, as the base of most tests.
func (p ports) mainJob(backend string) string {
	return fmt.Sprintf(`
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %q}
      http: {endpoint: %q}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 600, spike_limit_mib: 100}
  adaptivebatch: {}
exporters:
  pooledotlp:
    endpoint: %q
    tls: {insecure: true}
extensions:
  health_check: {endpoint: %q}
service:
  extensions: [health_check]
  telemetry:
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]
  pipelines:
    traces: &pipeline
      receivers: [otlp]
      processors: [memory_limiter, adaptivebatch]
      exporters: [pooledotlp]
    metrics: *pipeline
    logs: *pipeline
`, p.grpc, p.http, backend, p.health, p.metrics[strings.LastIndex(p.metrics, ":")+1:])
}

func freePorts(t *testing.T) ports {
	t.Helper()
	return ports{grpc: freeAddress(t), http: freeAddress(t), metrics: freeAddress(t), health: freeAddress(t)}
}

// collector is a running child process.
type collector struct {
	ports
	cmd     *exec.Cmd
	ready   chan struct{} // one token for each "Everything is ready"
	exited  chan struct{}
	exitErr error // valid once exited is closed

	mu     sync.Mutex
	output []string
}

// startCollector writes the configuration, starts the program and waits until it serves. The process is killed at the end
// of the test; its output is shown when the test failed. Further arguments follow --config.
func startCollector(t *testing.T, program string, p ports, config string, arguments ...string) *collector {
	t.Helper()
	return startProcess(t, program, p, nil, append([]string{"--config", writeConfig(t, config)}, arguments...)...)
}

// writeConfig returns the path of a file with the configuration.
func writeConfig(t *testing.T, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	return path
}

// startProcess is startCollector for a configuration that is a file already, with variables added to the environment.
func startProcess(t *testing.T, program string, p ports, environment []string, arguments ...string) *collector {
	t.Helper()
	c := &collector{ports: p, ready: make(chan struct{}, 16), exited: make(chan struct{})}
	c.cmd = exec.Command(program, arguments...)
	c.cmd.Dir = t.TempDir()
	c.cmd.Env = append(os.Environ(), environment...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	reader, writer := io.Pipe()
	c.cmd.Stdout, c.cmd.Stderr = writer, writer
	require.NoError(t, c.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read(reader)
	}()
	go func() {
		c.exitErr = c.cmd.Wait()
		_ = writer.Close()
		<-read
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.exited
		if t.Failed() {
			t.Logf("output of %s:\n%s", filepath.Base(program), c.log())
		}
	})
	c.awaitReady(t)
	return c
}

func (c *collector) read(reader io.Reader) {
	lines := bufio.NewScanner(reader)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c.mu.Lock()
		c.output = append(c.output, lines.Text())
		c.mu.Unlock()
		if strings.Contains(lines.Text(), "Everything is ready") {
			c.ready <- struct{}{}
		}
	}
}

func (c *collector) awaitReady(t *testing.T) {
	t.Helper()
	select {
	case <-c.ready:
	case <-c.exited:
		require.FailNow(t, "the Collector exited while starting", "%v\n%s", c.exitErr, c.log())
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the Collector was not ready after 30s", c.log())
	}
}

func (c *collector) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.output, "\n")
}

func (c *collector) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(s))
}

// awaitExit returns how long the process took to exit, and fails after the limit.
func (c *collector) awaitExit(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	select {
	case <-c.exited:
		return time.Since(start)
	case <-time.After(limit):
		require.FailNow(t, "the Collector did not exit", "within %v\n%s", limit, c.log())
		return 0
	}
}

// residentBytes is the process's resident set size.
func (c *collector) residentBytes(t *testing.T) int64 {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.cmd.Process.Pid))
	require.NoError(t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	require.NoError(t, err)
	return pages * int64(os.Getpagesize())
}

// metric returns the sum over all series of one metric of the Collector's own telemetry, and whether there is any.
func (c *collector) metric(t *testing.T, name string) (float64, bool) {
	t.Helper()
	status, body := get(t, "http://"+c.metrics+"/metrics")
	require.Equal(t, http.StatusOK, status)
	var sum float64
	series := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`(?:\{[^\n]*\})? (\S+)$`).FindAllStringSubmatch(body, -1)
	for _, s := range series {
		value, err := strconv.ParseFloat(s[1], 64)
		require.NoError(t, err)
		sum += value
	}
	return sum, len(series) > 0
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

// run runs a program to its end and returns what it printed.
func run(t *testing.T, program string, arguments ...string) (output string, exitCode int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	content, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return string(content), cmd.ProcessState.ExitCode()
}
