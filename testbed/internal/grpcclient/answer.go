package grpcclient

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// headers takes the headers of an answer, or its trailers. The mutex is held.
func (c *conn) headers(f *http2.MetaHeadersFrame) {
	k := c.calls[f.StreamID]
	switch {
	case k == nil:
	case f.Truncated:
		c.abandon(k, http2.ErrCodeFrameSize, status.Newf(codes.Internal, "the answer's headers have more than %d bytes", maxHeaderList))
	case f.StreamEnded():
		s := trailers(f.Fields, k.headed)
		if s.Code() == codes.OK {
			k.answer, s = decode(k.received, k.encoding)
		}
		if k.sent < k.total {
			c.abandon(k, http2.ErrCodeNo, s) // the rest of the message is not wanted
			return
		}
		c.finish(k, s.Err())
	case k.headed:
		c.abandon(k, http2.ErrCodeProtocol, status.New(codes.Internal, "headers in the middle of an answer"))
	case strings.HasPrefix(f.PseudoValue("status"), "1"):
		// Informational, and another one follows.
	default:
		k.headed = true
		if s := foreign(f.Fields); s != nil {
			c.abandon(k, http2.ErrCodeProtocol, s)
		}
		k.encoding = field(f.Fields, "grpc-encoding")
	}
}

func field(fields []hpack.HeaderField, name string) string {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i].Value
		}
	}
	return ""
}

// httpCodes are the statuses of answers that are not gRPC's, https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md.
var httpCodes = map[string]codes.Code{
	"400": codes.Internal, "401": codes.Unauthenticated, "403": codes.PermissionDenied, "404": codes.Unimplemented,
	"429": codes.Unavailable, "502": codes.Unavailable, "503": codes.Unavailable, "504": codes.Unavailable,
}

// foreign returns what headers mean that are not of gRPC, and nil for those that are.
func foreign(fields []hpack.HeaderField) *status.Status {
	contentType, httpStatus := field(fields, "content-type"), field(fields, ":status")
	if strings.HasPrefix(contentType, "application/grpc") {
		return nil
	}
	code, known := httpCodes[httpStatus]
	if !known {
		code = codes.Unknown
	}
	number, _ := strconv.Atoi(httpStatus)
	return status.Newf(code, "HTTP status %s %s, content type %q: not gRPC", httpStatus, http.StatusText(number), contentType)
}

// trailers returns the status that ends an answer; headed says that headers came before it.
func trailers(fields []hpack.HeaderField, headed bool) *status.Status {
	if !headed {
		if s := foreign(fields); s != nil {
			return s
		}
	}
	text := field(fields, "grpc-status")
	number, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return status.Newf(codes.Unknown, "grpc-status is %q, not a number", text)
	}
	code := codes.Code(number)
	if code == codes.OK {
		return status.New(codes.OK, "")
	}
	if details := field(fields, "grpc-status-details-bin"); details != "" {
		if s := detailed(details); s != nil && s.Code() == code {
			return s
		}
	}
	message := field(fields, "grpc-message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return status.New(code, message)
}

// detailed reads a status with its details, which are base64 with padding or without; nil: that is not what it is.
func detailed(text string) *status.Status {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	s := new(spb.Status)
	if err != nil || proto.Unmarshal(b, s) != nil {
		return nil
	}
	return status.FromProto(s)
}

// decode returns the message of an answer.
func decode(received []byte, name string) ([]byte, *status.Status) {
	if len(received) < prefixSize || uint64(len(received)-prefixSize) != uint64(binary.BigEndian.Uint32(received[1:])) {
		return nil, status.Newf(codes.Internal, "the answer's %d bytes are not one message", len(received))
	}
	message := received[prefixSize:]
	switch received[0] {
	case 0:
		return message, nil
	case 1:
		return decompress(message, name)
	default:
		return nil, status.Newf(codes.Internal, "the answer's first byte is %d, neither 0 nor 1", received[0])
	}
}

func decompress(message []byte, name string) ([]byte, *status.Status) {
	compressor := encoding.GetCompressor(name)
	if compressor == nil {
		return nil, status.Newf(codes.Internal, "no decompressor for the answer's grpc-encoding %q", name)
	}
	plain, err := compressor.Decompress(bytes.NewReader(message))
	if err != nil {
		return nil, status.Newf(codes.Internal, "decompressing the answer: %v", err)
	}
	if closer, is := plain.(io.Closer); is {
		defer func() { _ = closer.Close() }()
	}
	b, err := io.ReadAll(io.LimitReader(plain, maxAnswer))
	switch {
	case err != nil:
		return nil, status.Newf(codes.Internal, "decompressing the answer: %v", err)
	case len(b) == maxAnswer:
		return nil, status.Newf(codes.ResourceExhausted, "the answer has more than %d bytes", maxAnswer)
	}
	return b, nil
}
