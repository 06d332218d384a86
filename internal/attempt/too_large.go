package attempt

import (
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrTooLarge is, in the sense of errors.Is, every error that says that the backend might take less, whatever code and words it has for
// clients: an exporter may well tell these that their data is refused, lest they send it again as it is.
var ErrTooLarge = errors.New("the request is larger than the backend takes")

// SaysTooLarge recognizes a message beyond a size limit. gRPC has no code of its own for it; the texts are those of grpc-go and C++, and
// of Java, and for HTTP's 413 that of the stock otlphttp exporter.
func SaysTooLarge(st *status.Status) bool {
	switch st.Code() {
	case codes.ResourceExhausted:
		return strings.Contains(st.Message(), "larger than max") || strings.Contains(st.Message(), "exceeds maximum size")
	case codes.Unknown:
		return strings.Contains(st.Message(), "HTTP Status Code 413")
	default:
		return false
	}
}
