package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

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

// Changes writes what changed between two results, and marks what is clearly worse or better than tolerance.
func Changes(w io.Writer, changes []result.Change, tolerance float64) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%-44s %-16s %-15s %12s %12s  %-7s\n", "case", "contender", "figure", "before", "after", "ratio")
	for i := range changes {
		c := &changes[i]
		verdict := ""
		switch {
		case c.Worse(tolerance):
			verdict = "worse"
		case !c.Clear():
			verdict = "within the rounds' scatter"
		}
		fmt.Fprintf(b, "%-44s %-16s %-15s %12s %12s  %-7.3f %s\n", c.Case, c.Contender, c.Metric.Name,
			value(c.Metric, c.Before.Median), value(c.Metric, c.After.Median), c.Ratio(), verdict)
	}
	return b.Flush()
}

func value(metric result.Metric, v float64) string {
	switch {
	case strings.HasSuffix(metric.Unit, "-ns"):
		return Duration(time.Duration(v))
	case metric.Unit == "anon-B" || metric.Unit == "rss-B":
		return mebibytes(v) + " MiB"
	default:
		return fmt.Sprintf("%.4g", v)
	}
}
