package pooledotlp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/exporter"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp/internal/compression"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/connpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

const (
	protobufContentType = "application/x-protobuf"
	jsonContentType     = "application/json"
	// maxResponseBytes bounds what is read of an answer: it carries a message for people at most.
	maxResponseBytes = 64 * 1024
)

// httpTransport sends payloads as HTTP POST requests.
type httpTransport struct {
	cfg    *Config
	set    exporter.Settings
	signal wire.Signal
	url    string
	// shownURL is url for people.
	shownURL    string
	contentType string
	userAgent   string
	// encoding is the Content-Encoding of compressed payloads; empty when the stock client compresses.
	encoding string

	// mu guards pool, which statistics may ask for before start.
	mu   sync.Mutex
	pool *connpool.HTTP
}

func newHTTPTransport(cfg *Config, set exporter.Settings, signal wire.Signal) (*httpTransport, error) {
	u, err := cfg.HTTP.signalURL(signal)
	if err != nil {
		return nil, err
	}
	t := &httpTransport{
		cfg: cfg, set: set, signal: signal, url: u.String(), shownURL: forPeople(u), contentType: protobufContentType,
		userAgent: fmt.Sprintf("%s/%s (%s/%s)", set.BuildInfo.Description, set.BuildInfo.Version, runtime.GOOS, runtime.GOARCH),
	}
	if cfg.Protocol == ProtocolHTTPJSON {
		t.contentType = jsonContentType
	}
	if cfg.ownCompression() {
		t.encoding = contentEncodings[cfg.algorithm()]
	}
	return t, nil
}

// contentEncodings are the names on the wire.
var contentEncodings = map[compression.Algorithm]string{
	compression.Gzip:        "gzip",
	compression.Zstd:        "zstd",
	compression.SnappyBlock: "snappy",
	compression.Brotli:      "br",
}

// signalURL returns where a signal is sent to.
func (c *HTTPClientConfig) signalURL(signal wire.Signal) (*url.URL, error) {
	own := map[wire.Signal]string{
		wire.Traces: c.TracesEndpoint, wire.Metrics: c.MetricsEndpoint, wire.Logs: c.LogsEndpoint, wire.Profiles: c.ProfilesEndpoint,
	}[signal]
	version := "/v1/"
	if signal == wire.Profiles {
		version = "/v1development/"
	}
	switch {
	case own != "":
	case c.ClientConfig.Endpoint == "":
		return nil, fmt.Errorf("either `endpoint` or `%s_endpoint` must be specified", signal)
	default:
		own = strings.TrimSuffix(c.ClientConfig.Endpoint, "/") + version + signal.String()
	}
	return parseURL(signal.String()+"_endpoint", own)
}

// forPeople returns a URL as logs, errors and clients may see it: without the password and the query, which may have a key in it.
func forPeople(u *url.URL) string {
	shown := *u
	shown.RawQuery = ""
	return shown.Redacted()
}

func (t *httpTransport) start(ctx context.Context, host component.Host) error {
	client := t.cfg.HTTP.ClientConfig
	client.Timeout = 0 // each attempt has its own
	client.Compression, client.CompressionParams = "", configcompression.CompressionParams{}
	if t.encoding == "" {
		client.Compression = configcompression.Type(t.cfg.Compression)
		client.CompressionParams.Level = configcompression.Level(t.cfg.CompressionParams.Level)
	}
	settings := connpool.Config{MaxConnections: 1, MinConnections: 1, TargetInFlightPerConnection: 1}
	if t.cfg.Optimizations == OptimizationsAll {
		settings = t.cfg.Pool
		//nolint:staticcheck // the deprecated key still works upstream, so a renamed configuration may carry it
		settings.Tune(&client.MaxConnsPerHost, &client.MaxIdleConnsPerHost, &client.MaxIdleConns, &client.IdleConnTimeout)
		// Without HTTP/2 there is no ping; and asking for one would switch HTTP/2 on.
		if check := settings.HealthCheck; check.Enabled && client.ForceAttemptHTTP2 && client.HTTP2ReadIdleTimeout == 0 {
			client.HTTP2ReadIdleTimeout, client.HTTP2PingTimeout = check.Interval, check.Timeout
		}
	}
	ctx = context.WithoutCancel(ctx) // clients are made later too
	pool, err := connpool.NewHTTP(settings, func() (*http.Client, error) {
		return newHTTPClient(ctx, client, host, t.set.TelemetrySettings)
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pool = pool
	return nil
}

// maxRedirects is what Go's client follows by default.
const maxRedirects = 10

// followWithBody follows redirects that ask for the same request elsewhere (307, 308). After the others Go's client sends a GET
// without a body, whose success would look as if the backend had the data.
func followWithBody(next *http.Request, before []*http.Request) error {
	if next.Method != http.MethodPost {
		return http.ErrUseLastResponse
	}
	if len(before) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	return nil
}

func (t *httpTransport) send(ctx context.Context, payload mem.BufferSlice, compressed bool) (partialSuccess, verdict) {
	if t.pool == nil {
		return partialSuccess{}, verdict{outcome: attempt.Failed, err: errNotStarted}
	}
	var response partialSuccess
	var v verdict
	_ = t.pool.Do(func(client *http.Client) (int, error) {
		answer, err := t.post(ctx, client, payload, compressed) //nolint:bodyclose // readBody closes it
		if err != nil {
			v = judgeHTTPFailure(err)
			return 0, err
		}
		body := readBody(answer)
		if answer.StatusCode >= 200 && answer.StatusCode <= 299 {
			response = t.readAnswer(answer, body)
			v = verdict{outcome: attempt.Accepted}
		} else {
			v = judgeHTTP(t.shownURL, answer, body, time.Now())
		}
		return answer.ProtoMajor, nil
	})
	return response, v
}

func (t *httpTransport) post(ctx context.Context, client *http.Client, payload mem.BufferSlice, compressed bool) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, newBody(payload))
	if err != nil {
		return nil, err
	}
	r.ContentLength = int64(payload.Len())
	// A server may close an idle connection at the moment it is used; the client then needs the body once more.
	r.GetBody = func() (io.ReadCloser, error) { return newBody(payload), nil }
	r.Header.Set("Content-Type", t.contentType)
	r.Header.Set("User-Agent", t.userAgent)
	if compressed && t.encoding != "" {
		r.Header.Set("Content-Encoding", t.encoding)
	}
	answer, err := client.Do(r)
	if err != nil {
		if whole := (*url.Error)(nil); errors.As(err, &whole) {
			whole.URL = t.shownURL // after a redirect too, whose query may repeat ours
		}
		return nil, fmt.Errorf("failed to make an HTTP request: %w", err)
	}
	return answer, nil
}

// readBody reads an answer's body to its end where it is short, so that the connection can be used again.
func readBody(answer *http.Response) []byte {
	defer func() { _ = answer.Body.Close() }() // read or not, it is done with
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxResponseBytes))
	if err != nil {
		return nil // it is for people only; the status line said what counts
	}
	return body
}

// readAnswer reads the body of a success. What cannot be read is no reason to call it a failure: the backend has the data.
func (t *httpTransport) readAnswer(answer *http.Response, body []byte) partialSuccess {
	var p partialSuccess
	var err error
	// A type may have parameters. With an error it is empty, or there without them.
	contentType, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch contentType {
	case protobufContentType:
		p, err = parseResponse(body)
	case jsonContentType:
		p, err = parseJSONResponse(body, t.signal)
	}
	if err != nil {
		return unreadable(err)
	}
	return p
}

func (t *httpTransport) stats() connpool.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pool == nil || t.cfg.Optimizations == OptimizationsNone {
		return connpool.Stats{}
	}
	return t.pool.Stats()
}

func (t *httpTransport) shutdown() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pool != nil {
		t.pool.Close()
	}
	return nil
}

// body reads a payload. The client may read and close it from different goroutines, and after its call has returned, so it
// has its own references and a lock.
type body struct {
	mu     sync.Mutex
	reader *mem.Reader // nil when closed
}

func newBody(payload mem.BufferSlice) *body { return &body{reader: payload.Reader()} }

var errBodyClosed = errors.New("read of a closed request body")

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, errBodyClosed
	}
	return b.reader.Read(p)
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return nil
	}
	err := b.reader.Close()
	b.reader = nil
	return err
}
