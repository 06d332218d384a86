package report

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// The figures that were asked of this Collector.
const (
	goalCalls        = 210_000.0 // of one item, per second and core, in process
	goalItems        = 1.38e6    // in calls of many items, per second and core, in process
	goalP99          = 15 * time.Millisecond
	goalMemory       = 100e6 // bytes, with everything that is resident
	goalCoresDecoded = 0.12
	goalCoresBytes   = 0.05
	goalNetwork      = 0.65 // less than without compression; up to 0.75 was asked
	goalLessMemory   = 0.30 // less than the stock Collector; up to 0.50 was asked
)

// sources are what the goals are judged by.
type sources struct {
	benchmarks map[string]map[string]result.Spread // by name without the prefix, by unit
	run        *result.Report
}

// Goals writes a table of what was asked for and what was measured. benchmarks is the output of `go test -bench` of the exporter's
// BenchmarkThroughAdaptivebatch, run has cpu-per-item and resource-usage. What neither has is left out.
func Goals(w io.Writer, benchmarks io.Reader, run *result.Report) error {
	read, err := readBenchmarks(benchmarks)
	if err != nil {
		return err
	}
	s := sources{benchmarks: read, run: run}
	var rows [][]string
	rows = append(rows, s.inProcess("none/1_spans", "calls/cpu-s", "more than 210,000 calls of one span a second and core, in process", goalCalls)...)
	rows = append(rows, s.inProcess("none/500_spans", "spans/cpu-s", "more than 1.38 million spans a second and core in calls of 500, in process", goalItems)...)
	rows = append(rows, s.atRate()...)
	rows = append(rows, s.network()...)
	rows = append(rows, s.memory()...)
	if len(rows) == 0 {
		return errors.New("neither the benchmarks nor the run has a figure that was asked for")
	}
	var b strings.Builder
	b.WriteString("# What was asked for, and what holds\n\n")
	factList(&b, run)
	b.WriteString("- `go test -run '^$' -bench ThroughAdaptivebatch/none -cpu 1 -count 5 ./exporter/pooledotlp`\n\n" +
		"Each figure is the median of the rounds, with its range. Per core means per second of CPU time. Resident memory counts the binary too.\n")
	table(&b, []string{"Asked for", "Path", "Case", "Measured", "Holds"}, rows)
	brokenList(&b, run)
	_, err = io.WriteString(w, b.String())
	return err
}

func readBenchmarks(from io.Reader) (map[string]map[string]result.Spread, error) {
	values := map[string]map[string][]float64{}
	reader := benchfmt.NewReader(from, "benchmarks")
	for reader.Scan() {
		line, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue // what `go test` says beside the figures
		}
		_, parts := line.Name.Parts()
		var name strings.Builder
		for _, part := range parts {
			if part[0] == '/' { // and not the number of processors
				name.Write(part)
			}
		}
		key := strings.TrimPrefix(name.String(), "/")
		if values[key] == nil {
			values[key] = map[string][]float64{}
		}
		for _, v := range line.Values {
			values[key][v.Unit] = append(values[key][v.Unit], v.Value)
		}
	}
	spreads := map[string]map[string]result.Spread{}
	for name, units := range values {
		spreads[name] = map[string]result.Spread{}
		for unit, all := range units {
			spreads[name][unit] = result.SpreadOf(all)
		}
	}
	return spreads, reader.Err()
}

func row(asked, path, where, measured string, holds bool) []string {
	verdict := "**no**"
	if holds {
		verdict = "yes"
	}
	return []string{asked, path, where, measured, verdict}
}

func (s *sources) inProcess(name, unit, asked string, goal float64) [][]string {
	found, ok := s.benchmarks[name][unit]
	if !ok {
		return nil
	}
	return [][]string{row(asked, "decoded", "ThroughAdaptivebatch/"+name, ranged(found, amount), found.Median > goal)}
}

// ours calls visit for each of our contenders in the cases whose names begin so.
func (s *sources) ours(prefix string, visit func(c *result.Case, contender *result.Contender)) {
	for i := range s.run.Cases {
		c := &s.run.Cases[i]
		if !strings.HasPrefix(c.ID, prefix) {
			continue
		}
		for j := range c.Contenders {
			if c.Contenders[j].Ours {
				visit(c, &c.Contenders[j])
			}
		}
	}
}

// atRate is what 15,000 items a second take.
func (s *sources) atRate() (rows [][]string) {
	add := func(asked func(contender *result.Contender) (string, float64), format func(float64) string, of func(*result.Measurement) float64) {
		s.ours("resource-usage", func(c *result.Case, contender *result.Contender) {
			text, goal := asked(contender)
			found := contender.SpreadOf(of)
			measured := ranged(found, format)
			if baseline := c.BaselineContender(); baseline != nil { // which tells a busy machine from a slow Collector
				typical := baseline.SpreadOf(of).Median
				measured += "; " + baseline.Title + ": " + ranged(result.Spread{Median: typical, Min: typical, Max: typical}, format)
			}
			rows = append(rows, row(text, contender.Title, c.ID, measured, found != result.Spread{} && found.Median < goal))
		})
	}
	add(func(*result.Contender) (string, float64) {
		return "P99 below 15 ms at 15,000 items a second", float64(goalP99)
	},
		duration, result.P99.Of)
	add(func(*result.Contender) (string, float64) {
		return "there, less than 100 MB of resident memory", goalMemory
	},
		func(v float64) string { return fmt.Sprintf("%.0f MB", v/1e6) }, func(m *result.Measurement) float64 { return float64(m.PeakRSS) })
	add(func(contender *result.Contender) (string, float64) {
		if contender.Name == "ours-bytes" {
			return "there, less than 5 % of a core on the byte path", goalCoresBytes
		}
		return "there, less than 12 % of a core", goalCoresDecoded
	}, func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }, func(m *result.Measurement) float64 { return m.CPUCores })
	return rows
}

// network compares with what the same contender sends without compression.
func (s *sources) network() (rows [][]string) {
	plain := map[string]float64{}
	s.ours("cpu-per-item/", func(c *result.Case, contender *result.Contender) {
		if c.Compression == "none" {
			plain[c.Signal+fmt.Sprint(c.ItemsPerRequest)+contender.Name] = contender.Spread(result.Wire).Median
		}
	})
	s.ours("cpu-per-item/", func(c *result.Case, contender *result.Contender) {
		without := plain[c.Signal+fmt.Sprint(c.ItemsPerRequest)+contender.Name]
		if c.Compression == "none" || without == 0 || c.ItemsPerRequest != 100 {
			return
		}
		found := contender.Spread(result.Wire)
		less := 1 - found.Median/without
		measured := noFigure
		if found != (result.Spread{}) {
			measured = fmt.Sprintf("%.0f %% less", 100*less)
		}
		rows = append(rows, row("65 to 75 % less network", contender.Title, c.ID, measured, measured != noFigure && less >= goalNetwork))
	})
	return rows
}

// memory compares anonymous memory, as the binary's own size is no matter of load.
func (s *sources) memory() (rows [][]string) {
	for _, prefix := range []string{"cpu-per-item/traces/", "resource-usage"} {
		s.ours(prefix, func(c *result.Case, contender *result.Contender) {
			baseline := c.BaselineContender()
			if baseline == nil || baseline.Name == contender.Name {
				return
			}
			ratio := result.Ratio(contender, baseline, result.Anonymous)
			measured := noFigure
			if ratio != (result.Spread{}) {
				measured = fmt.Sprintf("%.0f %% less (%.0f to %.0f)", 100*(1-ratio.Median), 100*(1-ratio.Max), 100*(1-ratio.Min))
			}
			rows = append(rows, row("30 to 50 % less memory than the stock Collector", contender.Title, c.ID, measured,
				measured != noFigure && 1-ratio.Median >= goalLessMemory))
		})
	}
	return rows
}

// noFigure is what rounds that failed, or did not run, have measured.
const noFigure = "no figure"

func ranged(s result.Spread, format func(float64) string) string {
	if s == (result.Spread{}) {
		return noFigure
	}
	if s.Min == s.Max {
		return format(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", format(s.Median), format(s.Min), format(s.Max))
}

func amount(v float64) string {
	if v >= 1e6 {
		return fmt.Sprintf("%.2f million", v/1e6)
	}
	return fmt.Sprintf("%d,%03d", int(v)/1000, int(v)%1000)
}
