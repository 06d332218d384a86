package unarygrpc

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// headers opens a call. Of calls that cannot be handled the client hears before it has sent its message.
func (c *conn) headers(f *http2.MetaHeadersFrame) error {
	id := f.StreamID
	switch {
	case c.opens(id):
	case f.StreamEnded() && !c.idle(id):
		// Trailers. gRPC's clients send none, but HTTP/2 has them, and a proxy may make some.
		if s := c.reading(id); s != nil {
			c.ended(s)
		}
		return nil
	default:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if f.Truncated {
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeFrameSize}
	}
	s := &stream{
		id: id, buffers: c.server.cfg.Buffers, open: c.server.cfg.Budget.Reserve(),
		opened: time.Duration(c.keepalive.lastHeard.Load()),
	}
	s.httpStatus = c.readHeaders(s, f)
	if f.StreamEnded() && s.fault == nil {
		s.complete()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch limit := c.server.cfg.MaxConcurrentStreams; {
	case c.draining:
		return nil // its number is above that of the GOAWAY frame, so the client knows that nobody looks at it
	case limit > 0 && len(c.streams) >= int(limit):
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeRefusedStream}
	}
	if s.fault == nil && !s.open.Grow(s.openBytes(f)) {
		s.fail(codes.Unavailable, "%v", bufpool.ErrNoRoom)
	}
	c.lastID = id
	c.streams[id] = s
	c.keepalive.idleSince = time.Time{}
	switch {
	case s.fault != nil:
		c.refuseLocked(s, f.StreamEnded())
	case !s.deadline.IsZero():
		c.wakeBy(s.deadline)
	}
	return nil
}

// What a call costs before its message comes, about: the call itself, and each field of its metadata beside its bytes.
const callBytes, fieldBytes = 320, 64

// openBytes is what a call that was opened by these headers holds. A few bytes on the wire can stand for long headers.
func (s *stream) openBytes(f *http2.MetaHeadersFrame) int {
	n := callBytes
	if s.metadata != nil {
		for _, h := range f.Fields {
			n += len(h.Name) + len(h.Value) + fieldBytes
		}
	}
	return n
}

// readHeaders fills in what a call's headers say. What it returns is the HTTP status, for a client that may not speak gRPC.
func (c *conn) readHeaders(s *stream, f *http2.MetaHeadersFrame) (httpStatus int) {
	var httpMethod, path, contentType string
	var timeoutErr error
	hosts, connection := 0, false
	for _, h := range f.Fields {
		switch h.Name {
		case ":method":
			httpMethod = h.Value
		case ":path":
			path = h.Value
		case "content-type":
			contentType = h.Value
		case "grpc-encoding":
			if h.Value != encoding.Identity {
				s.encoding = h.Value
			}
		case "grpc-timeout":
			var timeout time.Duration
			timeout, timeoutErr = parseTimeout(h.Value)
			s.deadline = time.Now().Add(timeout)
		case "host":
			hosts++
		case "connection":
			connection = true
		}
	}
	switch method, known := c.server.cfg.Methods[path]; {
	case hosts > 1:
		s.fail(codes.Internal, "%d headers host, and there may be one", hosts)
		return http.StatusBadRequest
	case connection:
		s.fail(codes.Internal, "HTTP/2 has no header connection")
		return http.StatusBadRequest
	case !isGRPC(contentType):
		s.fail(codes.InvalidArgument, "invalid gRPC request content-type %q", contentType)
		return http.StatusUnsupportedMediaType
	case timeoutErr != nil:
		s.fail(codes.Internal, "malformed grpc-timeout: %v", timeoutErr)
		return http.StatusBadRequest
	case httpMethod != http.MethodPost:
		s.fail(codes.Internal, "the method is %q, and must be POST", httpMethod)
		return http.StatusMethodNotAllowed
	case !known:
		s.fail(codes.Unimplemented, "unknown method %q", path)
	case s.encoding != "" && encoding.GetCompressor(s.encoding) == nil:
		s.fail(codes.Unimplemented, "no decompressor for grpc-encoding %q", s.encoding)
	default:
		s.method = method
		if c.server.cfg.Incoming != nil {
			var err error
			if s.metadata, err = readMetadata(f); err != nil {
				s.fail(codes.Internal, "%v", err)
				return http.StatusBadRequest
			}
		}
	}
	return http.StatusOK
}

// isGRPC reports whether a content type is gRPC's, with any encoding of the messages.
func isGRPC(contentType string) bool {
	rest, is := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return is && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// timeoutUnits are those of the gRPC specification.
var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// parseTimeout reads up to eight digits and a unit.
func parseTimeout(text string) (time.Duration, error) {
	if len(text) < 2 || len(text) > 9 {
		return 0, fmt.Errorf("%q is not one to eight digits and a unit", text)
	}
	unit, known := timeoutUnits[text[len(text)-1]]
	if !known {
		return 0, fmt.Errorf("%q has no unit of H, M, S, m, u, n", text)
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q has no number", text)
	}
	const most = time.Duration(1<<63 - 1)
	if n > uint64(most/unit) {
		return most, nil
	}
	return time.Duration(n) * unit, nil
}

// readMetadata returns what grpc-go's server hands to handlers: the headers that are not the transport's own.
func readMetadata(f *http2.MetaHeadersFrame) (metadata.MD, error) {
	md := make(metadata.MD, len(f.Fields))
	for _, h := range f.Fields {
		switch {
		case h.Name == ":authority", h.Name == "content-type":
		case h.Name[0] == ':', h.Name == "te", h.Name == "host", isReserved(h.Name):
			continue
		case strings.HasSuffix(h.Name, "-bin"):
			value, err := decodeBinary(h.Value)
			if err != nil {
				return nil, fmt.Errorf("malformed binary metadata in header %q: %w", h.Name, err)
			}
			md[h.Name] = append(md[h.Name], value)
			continue
		}
		md[h.Name] = append(md[h.Name], h.Value)
	}
	if len(md[":authority"]) == 0 {
		for _, h := range f.Fields {
			if h.Name == "host" {
				md[":authority"] = append(md[":authority"], h.Value)
			}
		}
	}
	return md, nil
}

// isReserved reports whether gRPC keeps a header for itself. grpc-accept-encoding and tracing's headers are handed on.
func isReserved(name string) bool {
	switch name {
	case "grpc-message-type", "grpc-encoding", "grpc-message", "grpc-status", "grpc-timeout":
		return true
	}
	return false
}

// decodeBinary decodes base64, with padding or without.
func decodeBinary(value string) (string, error) {
	decoder := base64.RawStdEncoding
	if strings.HasSuffix(value, "=") {
		decoder = base64.StdEncoding
	}
	b, err := decoder.DecodeString(value)
	return string(b), err
}
