package runner

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

// TestMain makes the test binary its own Collector: a relay that passes connections on to the backend.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "relay" {
		copyTo := io.Copy
		switch strings.Join(os.Args[3:], "") {
		case "waste":
			waste()
		case "die":
			copyTo = func(to io.Writer, from io.Reader) (int64, error) {
				_, _ = io.CopyN(to, from, 100_000)
				panic("nothing is left to give")
			}
		}
		relay(os.Args[2], copyTo)
		return
	}
	goleak.VerifyTestMain(m)
}

// waste keeps a processor and 64 MiB busy, as a Collector does that somebody has broken.
func waste() {
	ballast := make([]byte, 64<<20)
	go func() {
		for i := 0; ; i = (i + 4096) % len(ballast) {
			ballast[i]++
		}
	}()
}

// relay reads the addresses to listen on and to pass on to from its configuration, and ends on SIGTERM.
func relay(config string, copyTo func(io.Writer, io.Reader) (int64, error)) {
	content, err := os.ReadFile(config)
	if err != nil {
		panic(err)
	}
	words := strings.Fields(string(content))
	listen, backend := words[0], words[1]
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	for {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			panic(err)
		}
		go serve(l, backend, copyTo)
		s := <-signals
		fmt.Println(s)
		if s == syscall.SIGTERM {
			os.Exit(0)
		}
		_ = l.Close() // and listen anew
	}
}

func serve(l net.Listener, backend string, copyTo func(io.Writer, io.Reader) (int64, error)) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("tcp", backend)
			if err != nil {
				return
			}
			defer to.Close()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
			_, _ = copyTo(to, from)
		}()
	}
}

// newRunner knows the relay, over gRPC and HTTP, and the direct way.
func newRunner(t *testing.T) *Runner {
	t.Helper()
	dir := t.TempDir()
	grpcConfig, httpConfig := filepath.Join(dir, "grpc"), filepath.Join(dir, "http")
	require.NoError(t, os.WriteFile(grpcConfig, []byte("${env:TESTBED_GRPC} ${env:TESTBED_BACKEND}"), 0o600))
	require.NoError(t, os.WriteFile(httpConfig, []byte("${env:TESTBED_GRPC} ${env:TESTBED_BACKEND_HTTP}"), 0o600))
	contender := func(name, binary, config string) scenario.Contender {
		return scenario.Contender{Name: name, Title: name, Binary: binary, Args: []string{"relay", "{config}"}, Config: config, Ours: true}
	}
	wasteful := contender("wasteful", "relay", grpcConfig)
	wasteful.Args = append(wasteful.Args, "waste")
	dying := contender("dying", "relay", grpcConfig)
	dying.Args = append(dying.Args, "die")
	return &Runner{
		Dir: filepath.Join(dir, "runs"), Programs: map[string]string{"relay": os.Args[0]},
		Contenders: map[string]scenario.Contender{
			"relay":      contender("relay", "relay", grpcConfig),
			"relay-http": contender("relay-http", "relay", httpConfig),
			"wasteful":   wasteful,
			"dying":      dying,
			"absent":     contender("absent", "no-such-program", grpcConfig),
			"broken":     contender("broken", "relay", filepath.Join(dir, "none")),
			"direct":     {Name: "direct", Title: "direct", Ours: true},
		},
	}
}
