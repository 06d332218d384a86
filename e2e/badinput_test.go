package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestWrongConfigurationIsRefusedBeforeAnythingStarts: the message names the key, the rule and the value, and all faults of
// a component come together.
func TestWrongConfigurationIsRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(p.mainJob("127.0.0.1:1")), 0o600))
	for _, test := range []struct {
		name     string
		override []string
		want     []string
	}{
		{
			"adaptivebatch, two faults at once",
			[]string{"processors::adaptivebatch::send_batch_max_bytes: -7", "processors::adaptivebatch::max_concurrency: 0"},
			[]string{"send_batch_max_bytes", "-7", "max_concurrency", "0"},
		},
		{
			"pooledotlp, unknown algorithm", []string{"exporters::pooledotlp::compression: lzma"},
			[]string{"compression", "lzma"},
		},
		{
			"pooledotlp, pool bounds crossed",
			[]string{"exporters::pooledotlp::pool: {min_connections: 9, max_connections: 3}"},
			[]string{"min_connections", "9", "3"},
		},
		{
			"unknown key", []string{"processors::adaptivebatch::send_batch_sise: 10"},
			[]string{"send_batch_sise"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			arguments := []string{"--config", path}
			for _, override := range test.override {
				arguments = append(arguments, "--config", "yaml:"+override)
			}
			for _, command := range [][]string{{"validate"}, {}} {
				output, code := run(t, distribution(t), append(command, arguments...)...)
				assert.NotZero(t, code)
				for _, want := range test.want {
					assert.Contains(t, output, want)
				}
				assert.NotContains(t, output, "Everything is ready")
			}
		})
	}
}

// TestBrokenRequestsGetTheProtocolsError sends what no client should, and then a good request through the same process.
func TestBrokenRequestsGetTheProtocolsError(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend)
	p := freePorts(t)
	startCollector(t, distribution(t), p, p.mainJob(backend),
		"--config", "yaml:receivers::otlp::protocols::grpc::max_recv_msg_size_mib: 1",
		"--config", "yaml:receivers::otlp::protocols::http::max_request_body_size: 1048576")

	good, err := ptraceotlp.NewExportRequestFromTraces(numberedTraces(0, 10)).MarshalProto()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		contentType string
		body        []byte
		status      int
	}{
		"truncated protobuf":         {"application/x-protobuf", good[:len(good)-3], http.StatusBadRequest},
		"hostile length":             {"application/x-protobuf", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x07}, http.StatusBadRequest},
		"broken JSON":                {"application/json", []byte(`{"resourceSpans":[{`), http.StatusBadRequest},
		"unknown content type":       {"text/csv", []byte("a,b"), http.StatusUnsupportedMediaType},
		"larger than the size limit": {"application/x-protobuf", bytes.Repeat([]byte{0}, 2<<20), http.StatusBadRequest},
	} {
		response, err := http.Post("http://"+p.http+"/v1/traces", test.contentType, bytes.NewReader(test.body))
		require.NoError(t, err, name)
		assert.NoError(t, response.Body.Close())
		assert.Equal(t, test.status, response.StatusCode, name)
	}

	c := newClient(t, p.grpc)
	err = c.send(t.Context(), 1_000_000, 20_000)
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "a message over max_recv_msg_size_mib: %v", err)
	assert.Equal(t, codes.Internal, status.Code(overGRPC(t, p.grpc)(t.Context(), good[:len(good)-3])), "truncated protobuf")

	require.NoError(t, c.send(t.Context(), 0, 10))
	requireExactlyOnce(t, arrived, arrived.spans, sequence(0, 10))
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string                    { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error)   { return v.([]byte), nil }
func (rawCodec) Unmarshal(_ []byte, _ any) error { return nil }

// TestAnOversizedItemIsRefusedAndOthersPass: one client sends what no backend takes; it alone gets an error.
func TestAnOversizedItemIsRefusedAndOthersPass(t *testing.T) {
	t.Parallel()
	backend := freeAddress(t)
	arrived, _ := startBackend(t, backend) // takes 4 MiB a message, as gRPC servers do by default
	p := freePorts(t)
	startCollector(t, distribution(t), p, p.mainJob(backend),
		"--config", "yaml:receivers::otlp::protocols::grpc::max_recv_msg_size_mib: 32",
		"--config", "yaml:exporters::pooledotlp::retry_on_failure: {max_interval: 1s, max_elapsed_time: 5s}")

	giant := numberedTraces(0, 1)
	giant.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutStr("large", strings.Repeat("x", 8<<20))
	refused := make(chan error, 1)
	c := newClient(t, p.grpc)
	go func() {
		_, err := c.Export(t.Context(), ptraceotlp.NewExportRequestFromTraces(giant))
		refused <- err
	}()
	good := newClient(t, p.grpc)
	for i := range 20 {
		require.NoError(t, good.send(t.Context(), 1000+i*10, 10))
	}
	select {
	case err := <-refused:
		assert.Error(t, err, "eight MiB in one span cannot reach a backend that takes four")
	case <-time.After(40 * time.Second):
		require.FailNow(t, "no answer for the oversized request")
	}
	requireExactlyOnce(t, arrived, arrived.spans, sequence(1000, 200))
}
