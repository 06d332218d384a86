package report

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// Changes writes what is clearly worse or better by more than tolerance from one result to the other; with all, every figure. It returns
// how many figures are worse, with faults and what was measured before only: nobody knows whether that still holds.
func Changes(w io.Writer, before, after *result.Report, tolerance float64, all bool) (worse int, err error) {
	b := bufio.NewWriter(w)
	side(b, "before", before)
	side(b, "after", after)
	if before.Machine != after.Machine {
		fmt.Fprintln(b, "the machines differ: these figures do not compare")
	}
	c := result.Compare(before, after)
	for _, name := range c.OnlyBefore {
		fmt.Fprintln(b, "worse: only before:", name)
	}
	for _, name := range c.OnlyAfter {
		fmt.Fprintln(b, "only after: ", name)
	}
	for _, fault := range c.Faults {
		fmt.Fprintf(b, "worse: %s, %s: %s: %d in %d rounds, before %d in %d\n", fault.Case, fault.Contender, fault.What, fault.After, fault.AfterRounds,
			fault.Before, fault.BeforeRounds)
	}
	worse, better := len(c.Faults)+len(c.OnlyBefore), 0
	var rows [][]string
	for i := range c.Changes {
		change := &c.Changes[i]
		verdict := "no clear change"
		switch {
		case change.Worse(tolerance):
			verdict = "worse"
			worse++
		case change.Better(tolerance):
			verdict = "better"
			better++
		default:
			if !all {
				continue
			}
		}
		rows = append(rows, []string{
			change.Case, change.Contender, change.Metric.Name, spread(change.Metric, change.Before), spread(change.Metric, change.After),
			fmt.Sprintf("%.3f", change.Ratio()), verdict,
		})
	}
	columns(b, append([][]string{{"case", "contender", "figure", "before", "after", "ratio", ""}}, rows...))
	fmt.Fprintf(b, "%d figures: %d worse, %d better by more than %.0f %% and beyond what the rounds scatter\n",
		len(c.Changes)+len(c.Faults)+len(c.OnlyBefore), worse, better, tolerance*100)
	return worse, b.Flush()
}

func side(w *bufio.Writer, name string, r *result.Report) {
	fmt.Fprintf(w, "%-7s %s, `%s`", name, r.Time.Format(time.DateTime+" MST"), r.Command)
	for _, program := range slices.Sorted(maps.Keys(r.Programs)) {
		fmt.Fprintf(w, ", %s", r.Programs[program])
	}
	fmt.Fprintln(w)
}

// columns writes rows whose cells stand below each other. A heading alone is left out.
func columns(w *bufio.Writer, rows [][]string) {
	if len(rows) < 2 {
		return
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func spread(metric result.Metric, s result.Spread) string {
	if s.Min == s.Max {
		return value(metric, s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", value(metric, s.Median), value(metric, s.Min), value(metric, s.Max))
}

func value(metric result.Metric, v float64) string {
	switch {
	case strings.HasSuffix(metric.Unit, "-ns"):
		return Duration(time.Duration(v))
	case metric.Unit == "anon-B" || metric.Unit == "rss-B":
		return mebibytes(v) + " MiB"
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.4g", v)
	}
}
