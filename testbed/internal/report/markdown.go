// Package report writes results for people and for tools.
package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// Markdown writes tables of every case.
func Markdown(w io.Writer, title string, r *result.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", title)
	factList(&b, r)
	fmt.Fprintf(&b, "\n%s\n", explanation)
	for _, s := range summaries(r) {
		fmt.Fprintf(&b, "\n## %s\n", s.Title)
		table(&b, s.Columns, s.Rows)
	}
	for i := range r.Cases {
		caseTable(&b, &r.Cases[i])
	}
	brokenList(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

// explanation is what a reader needs to know of all figures.
const explanation = "Each figure is the median of the rounds; a ratio is the median of the ratios of each round, with its range. Items sent, acknowledged,\n" +
	"arrived, lost, duplicate and refused are of all rounds together. CPU counts the Collector's user and system time; the driver is the\n" +
	"generator and the backend together. Latency is that of acknowledged requests only. Items, bytes, items per export and peaks of memory\n" +
	"include the warm-up."

func brokenList(b *strings.Builder, r *result.Report) {
	broken := r.Broken()
	if len(broken) == 0 {
		return
	}
	b.WriteString("\n## Limits that did not hold\n\n")
	for _, line := range broken {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

func factList(b *strings.Builder, r *result.Report) {
	for _, line := range facts(r) {
		fmt.Fprintf(b, "- %s\n", line)
	}
	for _, command := range commands(r) {
		fmt.Fprintf(b, "- `%s`\n", command)
	}
}

// commands are what made the figures; several where runs were put together.
func commands(r *result.Report) []string { return strings.Split(r.Command, "\n") }

// facts are where, when and of what the figures are.
func facts(r *result.Report) []string {
	when := r.Time.Format(time.DateTime + " MST")
	if r.Until.After(r.Time) {
		when += " to " + r.Until.Format(time.DateTime+" MST")
	}
	lines := []string{
		fmt.Sprintf("%s, %d processors (%s), kernel %s, %s; garbage collection: %s", when, r.Machine.CPUs, r.Machine.CPU, r.Machine.Kernel, r.Machine.Go, r.Machine.GC),
	}
	for _, name := range slices.Sorted(maps.Keys(r.Programs)) {
		lines = append(lines, fmt.Sprintf("%s: %s", name, r.Programs[name]))
	}
	for _, reason := range r.Skipped {
		lines = append(lines, "left out: "+reason)
	}
	if r.Interrupted {
		lines = append(lines, "the run was interrupted; what follows is what was measured until then")
	}
	return lines
}

// The headings of a case's three tables; costRow, latencyRow and deliveryRow fill them.
var (
	costColumns = []string{
		"Contender", "CPU s per million", "against the first", "Driver's CPU s per million", "Wire B/item", "Items/export", "Items/s", "Peak anonymous MiB", "Peak RSS MiB", "Notes",
	}
	latencyColumns  = []string{"Contender", "P50", "P95", "P99", "Max", "Mean", "Std. dev.", "Outliers"}
	deliveryColumns = []string{"Contender", "Acknowledged means", "Sent", "Acknowledged", "Arrived", "Lost", "Duplicate", "Refused"}
)

func caseTable(b *strings.Builder, c *result.Case) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n%s\n", c.ID, c.Description, caseLine(c))
	var cost, latency, delivery [][]string
	for i := range c.Contenders {
		cost = append(cost, costRow(c, &c.Contenders[i]))
		latency = append(latency, latencyRow(&c.Contenders[i]))
		delivery = append(delivery, deliveryRow(&c.Contenders[i]))
	}
	table(b, costColumns, cost)
	table(b, latencyColumns, latency)
	table(b, deliveryColumns, delivery)
}

func table(b *strings.Builder, columns []string, rows [][]string) {
	fmt.Fprintf(b, "\n| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
}

func caseLine(c *result.Case) string {
	line := fmt.Sprintf("%s over %s, %d items a request, %d clients, sent on with compression %s.", c.Signal, c.Protocol, c.ItemsPerRequest, c.Clients, c.Compression)
	if c.Pinned {
		line += " Collector and driver have one processor each."
	}
	return line
}

func median(contender *result.Contender, of func(*result.Measurement) float64) float64 {
	return contender.SpreadOf(of).Median
}

func costRow(c *result.Case, contender *result.Contender) []string {
	ratio := ""
	if baseline := c.BaselineContender(); baseline != nil && contender.Name != c.Baseline {
		ratio = Ratio(result.Ratio(contender, baseline, result.CPU))
	}
	return []string{
		contender.Title,
		fmt.Sprintf("%.2f", median(contender, result.CPU.Of)), ratio,
		fmt.Sprintf("%.2f", median(contender, result.Driver.Of)),
		fmt.Sprintf("%.1f", median(contender, result.Wire.Of)),
		fmt.Sprintf("%.0f", median(contender, func(m *result.Measurement) float64 { return m.ItemsPerExport })),
		fmt.Sprintf("%.0f", median(contender, result.Throughput.Of)),
		mebibytes(median(contender, result.Anonymous.Of)),
		mebibytes(median(contender, func(m *result.Measurement) float64 { return float64(m.PeakRSS) })),
		notes(c, contender),
	}
}

func latencyRow(contender *result.Contender) []string {
	latency := func(of func(*result.Latency) time.Duration) string {
		return Duration(time.Duration(median(contender, func(m *result.Measurement) float64 { return float64(of(&m.Latency)) })))
	}
	return []string{
		contender.Title,
		latency(func(l *result.Latency) time.Duration { return l.P50 }),
		latency(func(l *result.Latency) time.Duration { return l.P95 }),
		latency(func(l *result.Latency) time.Duration { return l.P99 }),
		latency(func(l *result.Latency) time.Duration { return l.Max }),
		latency(func(l *result.Latency) time.Duration { return l.Mean }),
		latency(func(l *result.Latency) time.Duration { return l.StdDev }),
		fmt.Sprintf("%.2f %%", 100*median(contender, func(m *result.Measurement) float64 { return m.Latency.Outliers })),
	}
}

func deliveryRow(contender *result.Contender) []string {
	all := totals(contender)
	return []string{
		contender.Title, contender.Durability,
		fmt.Sprint(all.Sent), fmt.Sprint(all.Acknowledged), fmt.Sprint(all.Received),
		fmt.Sprint(all.Lost), fmt.Sprint(all.Duplicates), fmt.Sprint(all.Refused),
	}
}

// totals adds up what the table of delivery shows.
func totals(contender *result.Contender) (all ledger.Counts) {
	for i := range contender.Rounds {
		counts := &contender.Rounds[i].Counts
		all.Sent += counts.Sent
		all.Acknowledged += counts.Acknowledged
		all.Received += counts.Received
		all.Lost += counts.Lost
		all.Duplicates += counts.Duplicates
		all.Refused += counts.Refused
	}
	return all
}

// Bounds of what failures take of a table: messages of HTTP clients hold addresses and are many.
const (
	maxFailures    = 3
	maxFailureName = 40
)

// failures are the failed attempts of all rounds by their status, the most frequent first. It is empty where none failed.
func failures(contender *result.Contender) string {
	counts := map[string]uint64{}
	for i := range contender.Rounds {
		for status, n := range contender.Rounds[i].Errors {
			counts[status] += n
		}
	}
	statuses := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, status := range statuses[:min(len(statuses), maxFailures)] {
		name := []rune(oneLine(status))
		parts = append(parts, fmt.Sprintf("%s %d", string(name[:min(len(name), maxFailureName)]), counts[status]))
	}
	if len(statuses) > maxFailures {
		parts = append(parts, "others")
	}
	return strings.Join(parts, ", ")
}

// oneLine makes a message fit into a table: its first line, without what divides cells.
func oneLine(message string) string {
	return strings.ReplaceAll(strings.SplitN(message, "\n", 2)[0], "|", "/")
}

// equalBytes is how far the bytes of two contenders may be apart for their CPU to compare.
const equalBytes = 0.05

// wireRatio is 1 where there is nothing to compare with.
func wireRatio(c *result.Case, contender *result.Contender) float64 {
	baseline := c.BaselineContender()
	if baseline == nil || baseline.Name == contender.Name {
		return 1
	}
	ratio := result.Ratio(contender, baseline, result.Wire)
	if ratio == (result.Spread{}) {
		return 1
	}
	return ratio.Median
}

// soakSeconds is how long a run must be for the growth of its memory to say something.
const soakSeconds = 100

// notes say what a reader must know before believing the figures of a row.
func notes(c *result.Case, contender *result.Contender) string {
	said := map[string]bool{}
	waited := 0
	for i := range contender.Rounds {
		m := &contender.Rounds[i]
		if m.Behind {
			said["the generator fell behind its rate"] = true
		}
		switch m.Limiter {
		case "", "neither":
			waited++
		default:
			said["limited by the "+m.Limiter] = true
		}
		if m.MemoryGrowth > 0 && m.Seconds >= soakSeconds {
			said[fmt.Sprintf("memory of the last quarter: %.2f of the second's", m.MemoryGrowth)] = true
		}
		if m.Fault != "" {
			said["fault: "+oneLine(m.Fault)] = true
		}
		if len(m.Broken) > 0 {
			said["limits broken"] = true
		}
	}
	if failed := failures(contender); failed != "" {
		said["failed attempts: "+failed] = true
	}
	if baseline := c.BaselineContender(); baseline != nil && baseline.Durability != contender.Durability {
		said["not the first's durability"] = true
	}
	if bytes := wireRatio(c, contender); bytes > 1+equalBytes || bytes < 1-equalBytes {
		said[fmt.Sprintf("not the first's bytes: %.2f", bytes)] = true
	}
	if c.Pinned {
		if waited == len(contender.Rounds) {
			said["limited by what the clients wait for"] = true
		}
		said[fmt.Sprintf("busy: Collector %.0f %%, driver %.0f %%", 100*median(contender, func(m *result.Measurement) float64 { return m.CPUCores }),
			100*median(contender, func(m *result.Measurement) float64 { return m.DriverCores }))] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(said)), "; ")
}

// Ratio formats a ratio with its range.
func Ratio(s result.Spread) string {
	if s == (result.Spread{}) {
		return ""
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max)
}

// Duration formats to three digits, which is what the histograms hold.
func Duration(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.0f", bytes/(1<<20)) }
