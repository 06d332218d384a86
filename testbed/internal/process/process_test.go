package process

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary its own child: a server that behaves as TESTBED_CHILD says.
func TestMain(m *testing.M) {
	switch os.Getenv("TESTBED_CHILD") {
	case "":
		os.Exit(m.Run())
	case "fail":
		fmt.Println("no such key")
		os.Exit(1)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM)
	l, err := net.Listen("tcp", os.Getenv("TESTBED_ADDRESS"))
	if err != nil {
		panic(err)
	}
	serve := func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}
	go serve(l)
	for s := range signals {
		fmt.Println(s)
		if s == syscall.SIGHUP && os.Getenv("TESTBED_CHILD") != "stubborn" {
			_ = l.Close()
			if l, err = net.Listen("tcp", os.Getenv("TESTBED_ADDRESS")); err != nil {
				panic(err)
			}
			go serve(l)
		}
		if s == syscall.SIGTERM && os.Getenv("TESTBED_CHILD") != "stubborn" {
			os.Exit(0)
		}
	}
}

func settings(t *testing.T, behaviour string) Settings {
	t.Helper()
	address, err := FreeAddress()
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, []byte("endpoint: ${env:TESTBED_ADDRESS}\nother: ${env:HOME}\n"), 0o600))
	return Settings{
		Command: []string{os.Args[0], "{config}"}, Config: config, Dir: filepath.Join(t.TempDir(), "run"), Ready: address, CPU: -1,
		Env: map[string]string{"TESTBED_CHILD": behaviour, "TESTBED_ADDRESS": address},
	}
}

func start(t *testing.T, behaviour string) *Process {
	t.Helper()
	p, err := Start(settings(t, behaviour))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Kill())
		require.NoError(t, p.Close())
	})
	return p
}

func TestTheConfigurationIsExpandedWithTheRunsNamesOnly(t *testing.T) {
	p := start(t, "serve")
	content, err := os.ReadFile(p.args[len(p.args)-1])
	require.NoError(t, err)
	assert.Equal(t, "endpoint: "+p.settings.Ready+"\nother: ${env:HOME}\n", string(content))
}

func TestTerminateEndsTheProcess(t *testing.T) {
	p := start(t, "serve")
	assert.True(t, p.Running())
	require.NoError(t, p.Terminate(10*time.Second))
	assert.False(t, p.Running())
	require.NoError(t, p.Terminate(time.Second), "a second time is no error")
	require.NoError(t, p.Kill())
}

func TestAStubbornProcessIsKilledAndReported(t *testing.T) {
	p := start(t, "stubborn")
	require.ErrorContains(t, p.Terminate(50*time.Millisecond), "did not end within 50ms")
	assert.False(t, p.Running())
	require.ErrorContains(t, p.Terminate(time.Second), "killed")
}

func TestAProcessThatOutlivesItsKillIsNotWaitedForForever(t *testing.T) {
	p := start(t, "serve")
	real := p.exited
	p.exited, p.patience = make(chan struct{}), 10*time.Millisecond // as if the kernel did not let go of it
	require.ErrorContains(t, p.Kill(), "did not end within 10ms of SIGKILL")
	<-real
	p.exited = real
}

func TestAKilledProcessStartsAgain(t *testing.T) {
	p := start(t, "serve")
	first := p.PID()
	require.NoError(t, p.Kill())
	assert.ErrorIs(t, syscall.Kill(first, 0), syscall.ESRCH)
	require.NoError(t, p.Restart())
	assert.NotEqual(t, first, p.PID())
	assert.True(t, p.Running())
}

func TestWhatEndedProcessesTookAddsUp(t *testing.T) {
	p := start(t, "serve")
	assert.Zero(t, p.Spent())
	require.NoError(t, p.Kill())
	once := p.Spent()
	assert.Positive(t, once)
	require.NoError(t, p.Restart())
	assert.Equal(t, once, p.Spent())
	require.NoError(t, p.Kill())
	assert.Greater(t, p.Spent(), once)
}

func TestReloadIsDoneWhenTheProcessListensAnew(t *testing.T) {
	p := start(t, "serve")
	require.NoError(t, p.Reload())
	assert.Equal(t, "hangup\n", p.lastWords())
	require.NoError(t, p.Reload())
}

func TestAReloadThatDoesNotTakePlaceIsAnError(t *testing.T) {
	p := start(t, "stubborn")
	p.reloadTimeout = 50 * time.Millisecond
	require.EqualError(t, p.Reload(), "the process did not listen anew within 50ms of SIGHUP")
	require.NoError(t, p.Kill())
	require.ErrorContains(t, p.Reload(), "nobody listens on 127.0.0.1:")
}

func TestAProcessCanBePinned(t *testing.T) {
	s := settings(t, "serve")
	s.CPU = 0
	p, err := Start(s)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, []string{"0"}, processors(t, p.PID()))
	require.NoError(t, p.Kill())
}

// processors are what the threads of a process may run on, each once.
func processors(t *testing.T, pid int) []string {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	var all []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		_, list, _ := strings.Cut(string(content), "Cpus_allowed_list:\t")
		list, _, _ = strings.Cut(list, "\n")
		if !slices.Contains(all, list) {
			all = append(all, list)
		}
	}
	return all
}

// allowed are the processors of every thread of this process.
func allowed(t *testing.T) []string { t.Helper(); return processors(t, os.Getpid()) }

// Threads that exist are pinned, and threads that start later; a child has the processor that it is given; all of it can be undone.
func TestThisProcessCanBePinnedBesideItsChild(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two processors")
	}
	before := allowed(t)
	undo, err := PinSelf(1)
	require.NoError(t, err)
	s := settings(t, "serve")
	s.CPU = 0
	p, err := Start(s)
	require.NoError(t, err)
	defer p.Close()
	assert.Equal(t, []string{"0"}, processors(t, p.PID()))
	var threads sync.WaitGroup
	for range 20 { // each needs a thread of its own
		threads.Go(func() { runtime.LockOSThread(); time.Sleep(time.Millisecond) })
	}
	threads.Wait()
	assert.Equal(t, []string{"1"}, processors(t, os.Getpid()))
	assert.Equal(t, 1, runtime.GOMAXPROCS(0))
	require.NoError(t, undo())
	assert.Equal(t, before, allowed(t))
	require.NoError(t, p.Kill())

	_, err = PinSelf(1000)
	require.ErrorContains(t, err, "processor 1000")
	assert.Equal(t, before, allowed(t))
}

func TestAFailureAtStartShowsTheLastWords(t *testing.T) {
	_, err := Start(settings(t, "fail"))
	require.ErrorContains(t, err, "no such key")
	missing := settings(t, "serve")
	missing.Command = []string{"/no/such/program"}
	_, err = Start(missing)
	require.ErrorContains(t, err, "start /no/such/program")
	missing.Config = "/no/such/file"
	_, err = Start(missing)
	require.ErrorContains(t, err, "read the configuration")
}

// The kernel ends the child with this process, and not the child's children.
func TestNginxIsOneProcess(t *testing.T) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("needs nginx")
	}
	s := settings(t, "")
	s.Config = filepath.Join("..", "..", "peers", "nginx.conf")
	s.Command = []string{path, "-c", "{config}", "-e", "stderr"}
	s.Env = map[string]string{"TESTBED_STORAGE": t.TempDir(), "TESTBED_BACKEND": "127.0.0.1:1", "TESTBED_GRPC": s.Ready}
	p, err := Start(s)
	require.NoError(t, err)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID(), p.PID()))
	require.NoError(t, err)
	assert.Empty(t, string(children))
	require.NoError(t, p.Terminate(10*time.Second))
	require.NoError(t, p.Close())
}
