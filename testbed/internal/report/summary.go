package report

import (
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// summary is one figure of every case and contender.
type summary struct {
	Title   string
	Columns []string
	Rows    [][]string
}

// summaries are what a reader of many cases looks at first. Cases with different baselines, or a single case, have none.
func summaries(r *result.Report) []summary {
	if len(r.Cases) < 2 {
		return nil
	}
	baseline := r.Cases[0].BaselineContender()
	for i := range r.Cases {
		if other := r.Cases[i].BaselineContender(); baseline == nil || other == nil || other.Name != baseline.Name {
			return nil
		}
	}
	against := func(metric result.Metric) func(c *result.Case, contender *result.Contender) string {
		return func(c *result.Case, contender *result.Contender) string {
			return Ratio(result.Ratio(contender, c.BaselineContender(), metric))
		}
	}
	return []summary{
		newSummary(r, "CPU for each item, against "+baseline.Title, baseline.Name, against(result.CPU)),
		newSummary(r, "Bytes for each item, against "+baseline.Title, baseline.Name, against(result.Wire)),
		newSummary(r, "Peak anonymous memory in MiB", "", func(_ *result.Case, contender *result.Contender) string {
			return mebibytes(median(contender, result.Anonymous.Of))
		}),
	}
}

// newSummary leaves out the contender of the given name. A contender that a case does not have gets an empty cell.
func newSummary(r *result.Report, title, without string, cell func(*result.Case, *result.Contender) string) summary {
	s := summary{Title: title, Columns: []string{"Case"}}
	column := map[string]int{}
	for i := range r.Cases {
		for j := range r.Cases[i].Contenders {
			contender := &r.Cases[i].Contenders[j]
			if _, known := column[contender.Name]; known || contender.Name == without {
				continue
			}
			column[contender.Name] = len(s.Columns)
			s.Columns = append(s.Columns, contender.Title)
		}
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		row := make([]string, len(s.Columns))
		row[0] = c.ID
		for j := range c.Contenders {
			if at, shown := column[c.Contenders[j].Name]; shown {
				row[at] = cell(c, &c.Contenders[j])
			}
		}
		s.Rows = append(s.Rows, row)
	}
	return s
}
