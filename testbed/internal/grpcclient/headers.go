package grpcclient

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
)

// acceptEncoding names what an answer may be compressed with.
var acceptEncoding = func() string {
	var names []string
	for _, c := range otlp.Compressions {
		if c != otlp.None {
			names = append(names, string(c))
		}
	}
	return strings.Join(names, ",")
}()

// requestFields are the headers that all calls of a client have, in grpc-go's order.
func requestFields(cfg *Config) []hpack.HeaderField {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: cfg.Method},
		{Name: ":authority", Value: cfg.Address},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "grpc-go/" + grpc.Version},
		{Name: "te", Value: "trailers"},
	}
	if cfg.Encoding != "" {
		fields = append(fields, hpack.HeaderField{Name: "grpc-encoding", Value: cfg.Encoding})
	}
	return append(fields, hpack.HeaderField{Name: "grpc-accept-encoding", Value: acceptEncoding})
}

// timeoutUnits are those of the gRPC specification, from the finest on.
var timeoutUnits = []struct {
	unit time.Duration
	name string
}{
	{time.Nanosecond, "n"}, {time.Microsecond, "u"}, {time.Millisecond, "m"}, {time.Second, "S"}, {time.Minute, "M"}, {time.Hour, "H"},
}

// encodeTimeout writes a timeout with eight digits at most, rounded up.
func encodeTimeout(d time.Duration) string {
	const most = 99_999_999
	for _, u := range timeoutUnits {
		n := d / u.unit
		if d%u.unit > 0 {
			n++
		}
		if n <= most {
			return strconv.FormatInt(max(int64(n), 0), 10) + u.name
		}
	}
	panic("unreachable: the longest Duration has seven digits of hours")
}
