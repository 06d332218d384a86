package sink

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Phase is how the backend behaves from a moment on, until the next phase begins. Its zero value answers at once.
type Phase struct {
	// At is the phase's beginning, counted from the beginning of what is measured. A phase at 0 holds from the start.
	At time.Duration `yaml:"at"`
	// Latency and LatencyPerItem are how long a request takes to serve: the fixed part and the part of each item.
	Latency        time.Duration `yaml:"latency"`
	LatencyPerItem time.Duration `yaml:"latency_per_item"`
	// Capacity is how many requests are served at once; more wait. 0: no limit.
	Capacity int `yaml:"capacity"`
	// FailRatio is the share of requests, from 0 to 1, that are answered with FailCode.
	FailRatio float64 `yaml:"fail_ratio"`
	// FailCode is the gRPC status, by its name in the gRPC documentation; OTLP/HTTP gets the matching HTTP status.
	FailCode string `yaml:"fail_code"`
	// RetryAfter goes with such an answer, as RetryInfo or Retry-After. 0: none.
	RetryAfter time.Duration `yaml:"retry_after"`
	// ResetRatio is the share of requests at which the backend cuts the connection instead of answering.
	ResetRatio float64 `yaml:"reset_ratio"`
	// ReadBytesPerSecond is how fast each connection is read. 0: as fast as it comes.
	ReadBytesPerSecond int `yaml:"read_bytes_per_second"`
	// Hang leaves requests without an answer until their sender gives up.
	Hang bool `yaml:"hang"`
	// MaxItems is the largest request that is accepted; a larger one gets InvalidArgument (400). 0: no limit.
	MaxItems int `yaml:"max_items"`
}

// failCodes are the statuses that a phase can give, with what OTLP/HTTP calls them.
var failCodes = map[string]struct {
	grpc codes.Code
	http int
}{
	"UNAVAILABLE":        {codes.Unavailable, 503},
	"RESOURCE_EXHAUSTED": {codes.ResourceExhausted, 429},
	"INVALID_ARGUMENT":   {codes.InvalidArgument, 400},
	"DEADLINE_EXCEEDED":  {codes.DeadlineExceeded, 504},
	"PERMISSION_DENIED":  {codes.PermissionDenied, 403},
	"UNAUTHENTICATED":    {codes.Unauthenticated, 401},
	"INTERNAL":           {codes.Internal, 500},
	"UNIMPLEMENTED":      {codes.Unimplemented, 404},
}

// Validate reports everything that is wrong with the phase.
func (p *Phase) Validate() error {
	var errs []error
	ratio := func(key string, value float64) {
		if !(value >= 0 && value <= 1) { // which NaN is not either
			errs = append(errs, fmt.Errorf("`%s` must be between 0 and 1, found %v", key, value))
		}
	}
	ratio("fail_ratio", p.FailRatio)
	ratio("reset_ratio", p.ResetRatio)
	if _, ok := failCodes[p.FailCode]; !ok && p.FailCode != "" {
		names := strings.Join(slices.Sorted(maps.Keys(failCodes)), ", ")
		errs = append(errs, fmt.Errorf("`fail_code` must be one of %s, found %q", names, p.FailCode))
	}
	if p.FailRatio > 0 && p.FailCode == "" {
		errs = append(errs, errors.New("`fail_ratio` needs a `fail_code`"))
	}
	if p.FailRatio == 0 && (p.FailCode != "" || p.RetryAfter != 0) {
		errs = append(errs, errors.New("`fail_code` and `retry_after` need a `fail_ratio`"))
	}
	for _, number := range []struct {
		key   string
		value int64
	}{
		{"at", int64(p.At)}, {"latency", int64(p.Latency)}, {"latency_per_item", int64(p.LatencyPerItem)},
		{"capacity", int64(p.Capacity)}, {"retry_after", int64(p.RetryAfter)},
		{"read_bytes_per_second", int64(p.ReadBytesPerSecond)}, {"max_items", int64(p.MaxItems)},
	} {
		if number.value < 0 {
			errs = append(errs, fmt.Errorf("`%s` must not be negative, found %d", number.key, number.value))
		}
	}
	return errors.Join(errs...)
}
