package unaryhttp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
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

// answered is what a client sees of an answer.
type answered struct {
	code  int
	body  string
	close bool
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

// pipe gives a server one end of a connection. It is for use in a bubble of synctest.
func pipe(s *Server) net.Conn {
	ours, theirs := net.Pipe()
	s.conns.Begin(theirs)
	return ours
}

// serve runs a server, net/http's included, and returns what connects to it. It is for use in a bubble of synctest.
func serve(s *Server) (connect func() net.Conn) {
	l := newHandover()
	go func() { _ = s.Serve(l) }()
	return func() net.Conn {
		ours, theirs := net.Pipe()
		l.give(theirs, nil)
		return ours
	}
}

func send(t *testing.T, c net.Conn, sent string) {
	t.Helper()
	_, err := io.WriteString(c, sent)
	require.NoError(t, err)
}

func receive(t *testing.T, r *bufio.Reader) answered {
	t.Helper()
	a, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return answered{a.StatusCode, string(body), a.Close}
}

// request is a request that is served here.
func request(body string) string { return requestWith("", body) }

func requestWith(fields, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Type: " + contentType + "\r\n" + fields + contentLength(body) + body
}

// foreignRequest is one that is net/http's, which behind answers like the other.
func foreignRequest(body string) string {
	return strings.Replace(request(body), contentType, "application/json", 1)
}
