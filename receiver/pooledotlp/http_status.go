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

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/unaryhttp"
)

// fallbackAnswer is for clients whose content type names no encoding for a status.
var fallbackAnswer = unaryhttp.Answer{
	Code: http.StatusInternalServerError, ContentType: typeJSON, Body: []byte(`{"code": 13, "message": "failed to marshal error message"}`),
}

// onServerError answers for the server's own checks, before a handler runs: authentication and decompression.
func (r *otlpReceiver) onServerError(w http.ResponseWriter, request *http.Request, text string, code int) {
	if code == http.StatusBadRequest { // the start of the body is not compressed as it says, or in a way that is not known or allowed
		r.unreadable.Add(1)
	}
	contentType := typeJSON
	if request.Header.Get("Content-Type") != "" {
		contentType = mediaType(request)
	}
	if contentType != typeProto && contentType != typeJSON {
		write(w, fallbackAnswer)
		return
	}
	write(w, statusAnswer(contentType, code, statusFor(text, code)))
}

// statusAnswer answers with a status as OTLP wants it, https://opentelemetry.io/docs/specs/otlp/#failures-1. A RetryInfo becomes
// Retry-After where HTTP knows it.
func statusAnswer(contentType string, code int, s *status.Status) unaryhttp.Answer {
	a := unaryhttp.Answer{Code: code, ContentType: contentType}
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		for _, detail := range s.Details() {
			if retry, is := detail.(*errdetails.RetryInfo); is {
				a.RetryAfter = strconv.FormatInt(int64(retry.GetRetryDelay().AsDuration()/time.Second), 10)
			}
		}
	}
	marshal := proto.Marshal
	if contentType == typeJSON {
		marshal = protojson.Marshal
	}
	var err error
	if a.Body, err = marshal(s.Proto()); err != nil {
		return fallbackAnswer
	}
	return a
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
