package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

// nginx stands in front of a Collector, with an address for each of its protocols.
type nginx struct {
	grpc, http string
	upstream   ports
	config     string
	directory  string
	process    *exec.Cmd
}

// startNginx serves OTLP/gRPC over HTTP/2 and OTLP/HTTP, and passes both on.
func startNginx(t *testing.T, upstream ports) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // which is not in everybody's PATH
	}
	n := &nginx{grpc: freeAddress(t), http: freeAddress(t), upstream: upstream, directory: t.TempDir()}
	n.config = filepath.Join(n.directory, "nginx.conf")
	n.configure(t, 0)
	n.process = exec.Command(program, "-p", n.directory, "-c", n.config, "-e", "stderr")
	n.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output := &bytes.Buffer{}
	n.process.Stdout, n.process.Stderr = output, output
	require.NoError(t, n.process.Start())
	t.Cleanup(func() {
		_ = n.process.Process.Signal(syscall.SIGTERM) // a master that is killed leaves its workers behind
		_ = n.process.Wait()
		if t.Failed() {
			t.Logf("output of nginx:\n%s", output)
		}
	})
	n.awaitGeneration(t, 0)
	return n
}

// configure writes a configuration that differs in what it answers to /generation. Started by root, nginx would run its workers as
// somebody who may not read the directory of the test; others it warns that `user` means nothing.
func (n *nginx) configure(t *testing.T, generation int) {
	t.Helper()
	require.NoError(t, os.WriteFile(n.config, fmt.Appendf(nil, `
daemon off;
user root root;
worker_processes 2;
error_log stderr warn;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  client_max_body_size 64m;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream grpc { server %[1]s; keepalive 16; }
  upstream http { server %[2]s; keepalive 16; }
  server {
    listen %[3]s http2;
    location / { grpc_pass grpc://grpc; }
  }
  server {
    listen %[4]s;
    location = /generation { return 200 "%[5]d"; }
    location / {
      proxy_pass http://http;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`, n.upstream.grpc, n.upstream.http, n.grpc, n.http, generation), 0o600))
}

// awaitGeneration waits until new connections are served by workers that know a configuration.
func (n *nginx) awaitGeneration(t *testing.T, generation int) {
	t.Helper()
	require.Eventually(t, func() bool {
		response, err := http.Get("http://" + n.http + "/generation")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		return err == nil && string(content) == fmt.Sprint(generation)
	}, 30*time.Second, 20*time.Millisecond)
}

// reload begins new workers; those there are end with their last request.
func (n *nginx) reload(t *testing.T, generation int) {
	t.Helper()
	n.configure(t, generation)
	require.NoError(t, n.process.Process.Signal(syscall.SIGHUP))
	n.awaitGeneration(t, generation)
}

// export sends one encoded request; an error has a gRPC status.
type export func(ctx context.Context, request []byte) error

// overGRPC sends with a connection of its own.
func overGRPC(t *testing.T, endpoint string, options ...grpc.CallOption) export {
	t.Helper()
	connection, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	options = append(options, grpc.ForceCodec(rawCodec{}))
	return func(ctx context.Context, request []byte) error {
		var answer []byte
		return connection.Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", request, &answer, options...)
	}
}

// overHTTP sends with connections of its own. What may be sent again is Unavailable, as over gRPC.
func overHTTP(t *testing.T, endpoint string, compress bool) export {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return func(ctx context.Context, request []byte) error {
		code, text, err := postTraces(ctx, &http.Client{Transport: transport}, endpoint, request, compress)
		switch {
		case err != nil:
			return status.Error(codes.Unavailable, err.Error())
		case code == http.StatusOK:
			return nil
		case code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
			return status.Error(codes.Unavailable, text)
		}
		return status.Errorf(codes.Unknown, "%d %s", code, text)
	}
}

func postTraces(ctx context.Context, client *http.Client, endpoint string, body []byte, compress bool) (code int, text string, err error) {
	if compress {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body) // to memory
		_ = w.Close()
		body = b.Bytes()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+endpoint+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	if compress {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header.Get("Content-Type") + " " + string(content), err
}

// largeItems make a request of more than 1 MiB.
const largeItems = 12_000

// sendSizes sends requests from one item up, each until it is acknowledged, over and over until ctx ends, but all sizes once at least.
func (l *load) sendSizes(ctx context.Context, t *testing.T, send export, caller int, sizes []int) {
	first := caller * 10_000_000
	for round := 0; round == 0 || ctx.Err() == nil; round++ {
		for _, items := range sizes {
			request, err := ptraceotlp.NewExportRequestFromTraces(numberedTraces(first, items)).MarshalProto()
			if !assert.NoError(t, err) || !assert.True(t, items < largeItems || len(request) > 1<<20, "%d bytes", len(request)) {
				return
			}
			const attempts = 20
			for attempt := range attempts {
				err = send(context.WithoutCancel(ctx), request)
				l.record(first, items, err)
				if status.Code(err) != codes.Unavailable {
					break
				}
				time.Sleep(time.Duration(attempt) * 10 * time.Millisecond) // the client's back-off
			}
			if !assert.NoError(t, err, "caller %d, %d items", caller, items) {
				return
			}
			first += items
		}
	}
}

// TestNginxInFrontOfTheBytePath: 64 callers, over both protocols, compressed and not, with requests of all sizes, while nginx
// is reloaded again and again.
func TestNginxInFrontOfTheBytePath(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	c := startGateway(t, freePorts(t), backend)
	n := startNginx(t, c.ports)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := &load{}
	var callers sync.WaitGroup
	for i := range 16 {
		sizes := []int{1, 10, 300}
		if i%8 == 0 {
			sizes = append(sizes, largeItems)
		}
		for j, send := range []export{
			overGRPC(t, n.grpc), overGRPC(t, n.grpc, grpc.UseCompressor(grpcgzip.Name)),
			overHTTP(t, n.http, false), overHTTP(t, n.http, true),
		} {
			callers.Go(func() { l.sendSizes(ctx, t, send, 4*i+j, sizes) })
		}
	}
	for generation := 1; generation <= 5; generation++ {
		acknowledged, _ := l.progress()
		awaitProgress(t, l, acknowledged+10_000, 60*time.Second)
		n.reload(t, generation)
	}
	stop()
	callers.Wait()

	acknowledged, refused := l.progress()
	t.Logf("%d items acknowledged, %d requests sent again", acknowledged, refused)
	if refused == 0 {
		requireExactlyOnce(t, arrived, arrived.spans, l.acknowledged)
	}
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	assert.Empty(t, missing(arrived.spans, l.acknowledged), "acknowledged and lost")
	assert.Zero(t, arrived.broken, "items with another's attributes")
	signals, _ := c.metric(t, byteMetric)
	assert.EqualValues(t, 3, signals)
	_, own := c.metric(t, "otelcol_receiver_pooledotlp_grpc_connections")
	assert.True(t, own, "gRPC is served by the receiver's own server")
}

// TestNginxPassesRefusalsOn: what the receiver says of a request that it refuses reaches the client as without nginx.
func TestNginxPassesRefusalsOn(t *testing.T) {
	t.Parallel()
	c := startGateway(t, freePorts(t), freeAddress(t))
	n := startNginx(t, c.ports)
	good, err := ptraceotlp.NewExportRequestFromTraces(numberedTraces(0, largeItems)).MarshalProto()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		request []byte
		code    codes.Code
	}{
		"malformed":           {[]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x07}, codes.InvalidArgument},
		"malformed and large": {good[:len(good)-1], codes.InvalidArgument},
		// Refused while it is being sent.
		"larger than the limit": {bytes.Repeat(good, 20), codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			direct, through := overGRPC(t, c.grpc), overGRPC(t, n.grpc)
			for range 3 { // connections are used again
				want, got := status.Convert(direct(t.Context(), test.request)), status.Convert(through(t.Context(), test.request))
				require.Equal(t, test.code, want.Code(), want.Message())
				require.NotEmpty(t, want.Message())
				assert.Equal(t, want.Code(), got.Code(), got.Message())
				assert.Equal(t, want.Message(), got.Message())
			}
			if strings.HasPrefix(name, "larger") {
				return // confighttp's limit is another one
			}
			for _, compress := range []bool{false, true} {
				want, wantText, err := postTraces(t.Context(), http.DefaultClient, c.http, test.request, compress)
				require.NoError(t, err)
				require.Equal(t, http.StatusBadRequest, want)
				got, gotText, err := postTraces(t.Context(), http.DefaultClient, n.http, test.request, compress)
				require.NoError(t, err)
				assert.Equal(t, want, got)
				assert.Equal(t, wantText, gotText)
			}
		})
	}
}
