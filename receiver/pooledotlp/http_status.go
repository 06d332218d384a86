package pooledotlp

import (
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// fallbackAnswer is for clients whose content type names no encoding for a status.
var fallbackAnswer = []byte(`{"code": 13, "message": "failed to marshal error message"}`)

// writeError answers with an endpoint's error.
func writeError(w http.ResponseWriter, contentType string, err error) {
	s := status.Convert(err)
	writeStatus(w, contentType, httpCode(s.Code()), s)
}

// onServerError answers for the server's own checks, before a handler runs: authentication and decompression.
func onServerError(w http.ResponseWriter, r *http.Request, text string, code int) {
	contentType := typeJSON
	if r.Header.Get("Content-Type") != "" {
		contentType = mediaType(r)
	}
	if contentType != typeProto && contentType != typeJSON {
		write(w, typeJSON, http.StatusInternalServerError, fallbackAnswer)
		return
	}
	writeStatus(w, contentType, code, statusFor(text, code))
}

// writeStatus writes a status as OTLP wants it, https://opentelemetry.io/docs/specs/otlp/#failures-1. A RetryInfo becomes
// Retry-After where HTTP knows it.
func writeStatus(w http.ResponseWriter, contentType string, code int, s *status.Status) {
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		for _, detail := range s.Details() {
			if retry, is := detail.(*errdetails.RetryInfo); is {
				seconds := int64(retry.GetRetryDelay().AsDuration() / time.Second)
				w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
			}
		}
	}
	marshal := proto.Marshal
	if contentType == typeJSON {
		marshal = protojson.Marshal
	}
	body, err := marshal(s.Proto())
	if err != nil {
		write(w, typeJSON, http.StatusInternalServerError, fallbackAnswer)
		return
	}
	write(w, contentType, code, body)
}

// httpCode is the OTLP specification's table: what may be sent again is 429 or 503.
func httpCode(c codes.Code) int {
	switch c {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return http.StatusServiceUnavailable
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unimplemented:
		return http.StatusNotFound
	default:
		return http.StatusInternalServerError
	}
}

// statusFor is the way back, for errors that began as HTTP's.
func statusFor(text string, code int) *status.Status {
	c := codes.Unknown
	switch code {
	case http.StatusBadRequest:
		c = codes.InvalidArgument
	case http.StatusUnauthorized:
		c = codes.Unauthenticated
	case http.StatusForbidden:
		c = codes.PermissionDenied
	}
	return status.New(c, text)
}
