package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// TestMain makes the test binary the testbed itself, and what it tests: a relay that passes connections on to the backend.
func TestMain(m *testing.M) {
	switch os.Getenv("TESTBED_TEST_ROLE") {
	case "testbed":
		if err := os.Setenv("TESTBED_TEST_ROLE", "relay"); err != nil {
			panic(err)
		}
		main()
	case "relay":
		relay()
	default:
		os.Exit(m.Run())
	}
}

// relay says its process number. It ends on SIGTERM unless it is to be stubborn.
func relay() {
	if slices.Contains(os.Args, "--version") {
		return
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		for range term {
			if os.Getenv("TESTBED_TEST_STUBBORN") == "" {
				os.Exit(0)
			}
		}
	}()
	l, err := net.Listen("tcp", os.Getenv("TESTBED_GRPC"))
	if err != nil {
		panic(err)
	}
	fmt.Println("pid", os.Getpid())
	for {
		from, err := l.Accept()
		if err != nil {
			panic(err)
		}
		to, err := net.Dial("tcp", os.Getenv("TESTBED_BACKEND"))
		if err != nil {
			panic(err)
		}
		go func() { _, _ = io.Copy(from, to) }()
		go func() { _, _ = io.Copy(to, from) }()
	}
}

// screen is what a child writes; it may be read meanwhile.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// startRun has a process of its own run a scenario of an hour, and waits until items arrive. It returns the process, what it shows, the
// folder of its results and the process number of the relay.
func startRun(t *testing.T, env ...string) (*exec.Cmd, *screen, string, int) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("peers/none", "")
	write("peers/contenders.yaml", "relay: {title: relay, binary: relay, config: none, durability: d, ours: true}\n")
	write("scenarios/long.yaml", "description: d\nsuites: [s]\ncontenders: [relay]\n"+
		"load: {mode: open, rate: 2000, clients: 4, connections: 2, warmup: 0s, duration: 1h}\n")
	shown := &screen{}
	cmd := exec.Command(os.Args[0], "run", "long", "-scenarios", filepath.Join(dir, "scenarios"),
		"-contenders-file", filepath.Join(dir, "peers", "contenders.yaml"), "-program", "relay="+os.Args[0], "-out", filepath.Join(dir, "out"))
	cmd.Env = append(append(os.Environ(), "TESTBED_TEST_ROLE=testbed"), env...)
	cmd.Stdout, cmd.Stderr = shown, shown
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	require.Eventually(t, func() bool { return strings.Contains(shown.String(), "items/s, 0 errors") }, 30*time.Second, 10*time.Millisecond)
	log, err := os.ReadFile(filepath.Join(dir, "out", "runs", "long", "relay-1", "output.log"))
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscanf(string(log), "pid %d", &pid)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0), "the relay runs")
	return cmd, shown, filepath.Join(dir, "out"), pid
}

// gone waits for the end of a process that has lost its parent: the kernel ends it, and some other process takes note.
func gone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(state), ") Z ")
	}, 10*time.Second, 10*time.Millisecond, "the relay lives on")
}

func TestCtrlCWritesWhatWasMeasuredAndLeavesNoProcess(t *testing.T) {
	cmd, shown, out, relay := startRun(t)
	assert.Regexp(t, `long relay #1 +\d+ items/s, 0 errors`, shown.String())
	timeLeft := regexp.MustCompile(`\[\d+s:\d+(h|m)[\dms]*\]`)
	require.Eventually(t, func() bool { return timeLeft.MatchString(shown.String()) }, 30*time.Second, 10*time.Millisecond, "passed:left")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 1, exit.ExitCode(), "limits were not held, as nobody looked")
	assert.ErrorIs(t, syscall.Kill(relay, 0), syscall.ESRCH)
	assert.Contains(t, shown.String(), "the run was interrupted")

	report, err := result.Read(filepath.Join(out, "report.json"))
	require.NoError(t, err)
	assert.True(t, report.Interrupted)
	m := report.Cases[0].Contenders[0].Rounds[0]
	assert.Positive(t, m.Counts.Received)
	assert.GreaterOrEqual(t, m.Counts.Received, m.Counts.Acknowledged, "what was on its way had no answer any more, but may have arrived")
	assert.Zero(t, m.Counts.Lost)
	for _, name := range []string{"report.md", "report.html", "benchmark.txt"} {
		content, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		assert.Contains(t, string(content), "long", name)
	}
}

func TestASecondCtrlCDoesNotWaitForACollectorThatDoesNotStop(t *testing.T) {
	cmd, _, _, relay := startRun(t, "TESTBED_TEST_STUBBORN=1")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Signals are sent until one is not caught any more: how soon after the first that is, is the process's affair.
	for done := false; !done; {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			require.ErrorContains(t, err, "signal: interrupt")
			done = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	gone(t, relay)
}

func TestAKilledTestbedTakesTheCollectorWithIt(t *testing.T) {
	cmd, _, _, relay := startRun(t)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	gone(t, relay)
}
