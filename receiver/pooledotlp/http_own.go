package pooledotlp

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/guarded"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unaryhttp"
)

// Where the Collector's net/http servers record requests, and how long these take.
const (
	otelhttpScope    = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	otelhttpDuration = "http.server.request.duration"
)

// whyNotOwnHTTP says what is asked for that only net/http's server and confighttp's handlers have; "" is nothing.
func (r *otlpReceiver) whyNotOwnHTTP(ctx context.Context) string {
	cfg := &r.cfg.Protocols.HTTP.Get().ServerConfig
	switch {
	case r.cfg.HTTPServer == ServerNetHTTP:
		return "`http_server` is net-http"
	case !r.anyEncoded():
		return "requests are decoded"
	case cfg.TLS.HasValue():
		return "`tls` may make it HTTP/2"
	case cfg.Auth.HasValue():
		return "`auth` looks into the requests' headers"
	case cfg.IncludeMetadata:
		return "`include_metadata` keeps the requests' headers"
	case len(cfg.Middlewares) > 0:
		return "`middlewares` are made for net/http"
	case len(cfg.ResponseHeaders) > 0:
		return "`response_headers` are set"
	case !cfg.KeepAlivesEnabled: //nolint:staticcheck // it is where confighttp puts `keepalive`
		return "`keepalive` is off"
	case recordsCalls(ctx, r.settings.TelemetrySettings, otelhttpScope, otelhttpDuration):
		return "the Collector's own telemetry traces requests or measures them"
	}
	return ""
}

// ownHTTPServer makes the server of the byte path before net/http's; plain says whether bodies may come uncompressed.
func (r *otlpReceiver) ownHTTPServer(fallback *http.Server, endpoints []endpoint, open openers, plain bool) httpServer {
	cfg := r.cfg.Protocols.HTTP.Get()
	own := unaryhttp.Config{
		Endpoints: map[string]unaryhttp.Endpoint{}, ContentType: typeProto, Encodings: slices.Collect(maps.Keys(open)),
		MaxBodyBytes: bodySize(cfg), Fallback: fallback, Connected: withHTTPClient,
	}
	if plain {
		own.Encodings = append(own.Encodings, "")
	}
	for _, e := range endpoints {
		if p := pathOf(cfg, e); isLiteral(p) {
			own.Endpoints[p] = (&ownHandler{endpoint: e, receiver: r, open: open, bodySize: own.MaxBodyBytes}).serve
		}
	}
	return unaryhttp.New(own)
}

// isLiteral reports whether a path means itself to http.ServeMux, and nothing else: neither a pattern nor one that is cleaned or unescaped.
func isLiteral(p string) bool { return path.Clean(p) == p && !strings.ContainsAny(p, "{}%?# ") }

// withHTTPClient gives the requests of a connection what the Collector knows of their client, as confighttp does.
func withHTTPClient(ctx context.Context, c net.Conn) context.Context {
	info := client.Info{}
	if a, is := c.RemoteAddr().(*net.TCPAddr); is {
		info.Addr = &net.IPAddr{IP: a.IP}
	}
	return client.NewContext(ctx, info)
}

// ownHandler serves one endpoint's requests in protobuf without net/http, with the answers that handler gives behind it.
type ownHandler struct {
	endpoint endpoint
	receiver *otlpReceiver
	open     openers
	bodySize int64 // decompressed
}

func (h *ownHandler) serve(ctx context.Context, r unaryhttp.Request) unaryhttp.Answer {
	body, err := h.read(r)
	defer body.Free()
	switch {
	case errors.Is(err, bufpool.ErrNoRoom):
		return answerTo(typeProto, nil, status.Error(codes.Unavailable, bufpool.ErrNoRoom.Error()))
	case err != nil:
		return h.receiver.unreadableBody(typeProto, err)
	}
	return answerTo(typeProto, h.endpoint.answers().proto, h.endpoint.exportProto(ctx, body))
}

// read reads a body to its end, decompressed. That begins once all of it has arrived: a decompressor keeps up to the window that its client asks for,
// which the budget does not count, and would keep it for as long as the client stalls.
func (h *ownHandler) read(r unaryhttp.Request) (mem.BufferSlice, error) {
	var reserved bufpool.Reservation
	defer reserved.End() // whoever handles it has bounds of its own
	body, err := h.receive(r, &reserved)
	open := h.open[r.Encoding]
	if err != nil || open == nil {
		return body, err
	}
	defer body.Free()
	return h.decompress(open, body, &reserved)
}

// receive reads a body as it was sent.
func (h *ownHandler) receive(r unaryhttp.Request, reserved *bufpool.Reservation) (body mem.BufferSlice, err error) {
	watch := watchBody(r.SetReadDeadline, r.Length, h.receiver.reading)
	defer func() { // after a panic, too: it would look for ever
		if watch.end() {
			err = bufpool.ErrNoRoom
		}
	}()
	return readBody(r.Body, r.Length, h.receiver.buffers, h.receiver.reading, reserved)
}

// decompress returns a body as it was before its client compressed it, with references of its own. The decompressor is closed in any case: it goes
// back to its pool then, and an overload is no time to make new ones.
func (h *ownHandler) decompress(open opener, body mem.BufferSlice, reserved *bufpool.Reservation) (mem.BufferSlice, error) {
	source := body.Reader()
	defer func() { _ = source.Close() }()
	plain, err := guarded.Open(func() (io.Reader, error) { return open(io.NopCloser(source)) })
	if err != nil {
		return nil, err
	}
	limited := http.MaxBytesReader(nil, plain, h.bodySize)
	read, err := bufpool.ReadAll(limited, h.receiver.buffers, reserved)
	return read, errors.Join(err, limited.Close())
}
