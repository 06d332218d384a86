package pooledotlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// judgeHTTP applies the table of https://opentelemetry.io/docs/specs/otlp/#failures-1 to an answer that is not a success.
// Receivers turn the gRPC code of the error into what they tell their clients.
func judgeHTTP(url string, response *http.Response, body []byte, now time.Time) verdict {
	code := response.StatusCode
	message := fmt.Sprintf("%s answered HTTP status %d", url, code)
	if detail := statusMessage(body); detail != "" {
		message += ": " + detail
	}
	fault := func(c codes.Code) error { return status.Error(c, message) }
	switch code {
	case http.StatusTooManyRequests:
		return later(codes.ResourceExhausted, message, response, now)
	case http.StatusServiceUnavailable:
		if response.Header.Get("Retry-After") != "" {
			return later(codes.Unavailable, message, response, now)
		}
		return verdict{outcome: attempt.Unavailable, err: fault(codes.Unavailable)}
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return verdict{outcome: attempt.Unavailable, err: fault(codes.Unavailable)}
	case http.StatusRequestEntityTooLarge:
		return permanent(attempt.TooLarge, tooLargeError{fault(codes.InvalidArgument)})
	case http.StatusBadRequest:
		v := permanent(attempt.Rejected, fault(codes.InvalidArgument))
		v.mayBeCompression = true
		return v
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if location, err := response.Location(); err == nil {
			message += " and sends on to " + forPeople(location)
		}
		return verdict{outcome: attempt.Failed, err: ownHopFault(errors.New(message))}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusUnsupportedMediaType:
		return verdict{
			outcome:          attempt.Failed,
			err:              ownHopFault(errors.New(message)),
			mayBeCompression: code == http.StatusUnsupportedMediaType,
		}
	default:
		return permanent(attempt.Failed, fault(codes.Unknown))
	}
}

// judgeHTTPFailure says what it means that no answer came.
func judgeHTTPFailure(err error) verdict {
	switch {
	case errors.Is(err, context.Canceled):
		return verdict{outcome: attempt.Canceled, err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{outcome: attempt.DeadlineExceeded, err: err}
	default:
		return verdict{outcome: attempt.Unavailable, err: err}
	}
}

// later is the verdict on an answer that asks for patience, after the delay of its Retry-After header if it has one.
//
// The error says so with a RetryInfo, also after a 429 without the header, which never means that the data is lost.
func later(code codes.Code, message string, response *http.Response, now time.Time) verdict {
	delay, asked := retryAfter(response, now)
	st := status.New(code, message)
	if asked || code == codes.ResourceExhausted {
		st = addRetryInfo(st, delay)
	}
	v := verdict{outcome: attempt.Overloaded, err: st.Err(), delay: delay}
	if delay > 0 {
		v.err = exporterhelper.NewThrottleRetry(v.err, delay)
	}
	return v
}

// retryAfter reads a Retry-After header, which is a number of seconds or a date.
func retryAfter(response *http.Response, now time.Time) (delay time.Duration, ok bool) {
	value := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, time.Duration(seconds)*time.Second), true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, date.Sub(now)), true
}

// statusMessage reads the google.rpc.Status that the specification wants in the body of an error. It is only for people, so
// a body that is something else is not an error.
func statusMessage(body []byte) string {
	var st spb.Status
	if proto.Unmarshal(body, &st) != nil {
		return ""
	}
	return st.GetMessage()
}
