package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// Benchmark writes every measurement as a line of Go's benchmark format, which benchstat reads: `benchstat -col /contender` sets
// contenders side by side.
func Benchmark(w io.Writer, r *result.Report) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "goos: linux\ncpu: %s\n", r.Machine.CPU)
	for _, c := range r.Cases {
		for _, contender := range c.Contenders {
			name := fmt.Sprintf("BenchmarkTestbed/%s/contender=%s", strings.ReplaceAll(c.ID, " ", "-"), contender.Name)
			for i := range contender.Rounds {
				benchmarkLine(b, name, &contender.Rounds[i])
			}
		}
	}
	return b.Flush()
}

func benchmarkLine(b *bufio.Writer, name string, m *result.Measurement) {
	if m.Fault != "" || m.Counts.Received == 0 {
		return
	}
	fmt.Fprintf(b, "%s %d", name, m.Counts.Received)
	for _, metric := range result.Metrics {
		fmt.Fprintf(b, " %.6g %s", metric.Of(m), metric.Unit)
	}
	fmt.Fprintf(b, " %d lost %d duplicates\n", m.Counts.Lost, m.Counts.Duplicates)
}
