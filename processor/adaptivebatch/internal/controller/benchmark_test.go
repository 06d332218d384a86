package controller

import (
	"testing"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
)

// BenchmarkObserve measures what each request costs under the processor's lock, once many sizes have been seen.
func BenchmarkObserve(b *testing.B) {
	c := New(adaptive())
	o := Observation{Attempt: attempt.Attempt{Outcome: attempt.Accepted}, Now: epoch}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o.Items = 50 + i*37%1950
		o.Latency = time.Millisecond + time.Duration(o.Items)*time.Microsecond
		o.Among, o.InFlight = 1+i%40, 1+i%40
		o.Now = o.Now.Add(100 * time.Microsecond)
		c.Observe(o)
	}
}
