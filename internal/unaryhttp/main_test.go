package unaryhttp

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	path        = "/v1/traces"
	contentType = "application/x-protobuf"
)

// echo answers with the body.
func echo(_ context.Context, r Request) Answer {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Answer{Code: http.StatusBadRequest, ContentType: "text/plain", Body: []byte(err.Error())}
	}
	return Answer{Code: http.StatusOK, ContentType: contentType, Body: body}
}

// behind makes the handler that net/http has of an endpoint. Answers from it are marked.
func behind(e Endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path || r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		a := e(r.Context(), Request{Body: r.Body, Length: r.ContentLength})
		w.Header().Set("Content-Type", a.ContentType)
		w.Header().Set("By", "net/http")
		w.WriteHeader(a.Code)
		_, _ = w.Write(a.Body)
	})
}

func config(e Endpoint) Config {
	return Config{
		Endpoints: map[string]Endpoint{path: e}, ContentType: contentType, Encodings: []string{"gzip", ""}, MaxBodyBytes: 1 << 20,
		Fallback: &http.Server{Handler: behind(e), ReadHeaderTimeout: time.Minute, IdleTimeout: time.Hour},
	}
}

type server interface {
	Serve(net.Listener) error
	Close() error
}

// listen runs a server on loopback until the test ends, and returns its address.
func listen(t testing.TB, s server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		assert.NoError(t, s.Close())
		assert.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return l.Addr().String()
}

// request is a request that is served here.
func request(body string) string { return requestWith("", body) }

func requestWith(fields, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Type: " + contentType + "\r\n" + fields + contentLength(body) + body
}
