package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

type pageData struct {
	Title       string
	Explanation string
	Summaries   []summary
	Facts       []string
	Commands    []string
	Broken      []string
	Cases       []pageCase
	Colors      [colors]struct{}
	Notes       int // the column of the costs that has sentences
}

// colors is how many the page defines; contenders beyond begin anew.
const colors = 7

// palette gives each contender the same color in every case.
type palette map[string]int

func newPalette(r *result.Report) palette {
	p := palette{}
	for i := range r.Cases {
		for j := range r.Cases[i].Contenders {
			if name := r.Cases[i].Contenders[j].Name; !p.has(name) {
				p[name] = len(p) % colors
			}
		}
	}
	return p
}

func (p palette) has(name string) bool { _, ok := p[name]; return ok }

type pageCase struct {
	Result                                       *result.Case
	Line                                         string
	Legend                                       []key
	CostColumns, LatencyColumns, DeliveryColumns []string
	Cost, Latency, Delivery                      [][]string
	Plots                                        []template.HTML
}

// key is an entry of a case's legend.
type key struct {
	Color int
	Title string
}

// HTML writes one page that needs nothing else: tables, and plots of latency, throughput, memory and ratios.
func HTML(w io.Writer, title string, r *result.Report) error {
	data := pageData{
		Title: title, Explanation: explanation, Facts: facts(r), Commands: commands(r), Summaries: summaries(r), Broken: r.Broken(), Notes: len(costColumns) - 1,
	}
	colors := newPalette(r)
	for i := range r.Cases {
		data.Cases = append(data.Cases, newPageCase(&r.Cases[i], colors))
	}
	return page.Execute(w, data)
}

func newPageCase(c *result.Case, colors palette) pageCase {
	p := pageCase{Result: c, Line: caseLine(c), CostColumns: costColumns, LatencyColumns: latencyColumns, DeliveryColumns: deliveryColumns}
	for i := range c.Contenders {
		contender := &c.Contenders[i]
		p.Legend = append(p.Legend, key{colors[contender.Name], contender.Title})
		p.Cost = append(p.Cost, costRow(c, contender))
		p.Latency = append(p.Latency, latencyRow(contender))
		p.Delivery = append(p.Delivery, deliveryRow(contender))
	}
	for _, svg := range []template.HTML{
		latencyPlot(c, colors), seriesPlot(c, colors, "Items a second at the backend", count, func(s *result.Sample) float64 { return s.Received }),
		seriesPlot(c, colors, "Anonymous memory, MiB", count, func(s *result.Sample) float64 { return float64(s.Anonymous) / (1 << 20) }),
		ratiosPlot(c, colors),
	} {
		if svg != "" {
			p.Plots = append(p.Plots, svg)
		}
	}
	return p
}

// middle is the round whose course is shown: the one with the median P99 would flatter or punish; the one in the middle of the run does not.
func middle(contender *result.Contender) *result.Measurement {
	if len(contender.Rounds) == 0 {
		return nil
	}
	return &contender.Rounds[len(contender.Rounds)/2]
}

func latencyPlot(c *result.Case, colors palette) template.HTML {
	p := plot{title: "Latency by percentile", xLabel: "percentile (evenly spaced)", yLog: true, yFormat: duration}
	shown := map[float64]string{0: "0", 50: "50", 90: "90", 99: "99", 99.9: "99.9", 100: "100"}
	for i := range c.Contenders {
		m := middle(&c.Contenders[i])
		if m == nil || len(m.Latency.Curve) == 0 {
			continue
		}
		l := line{color: colors[c.Contenders[i].Name]}
		p.xTicks = nil
		for at, q := range m.Latency.Curve {
			l.points = append(l.points, xy{float64(at), max(float64(time.Microsecond), float64(q.Value))})
			if label, ok := shown[q.Percentile]; ok {
				p.xTicks = append(p.xTicks, tick{float64(at), label})
			}
		}
		p.lines = append(p.lines, l)
	}
	return p.svg()
}

func seriesPlot(c *result.Case, colors palette, title string, format func(float64) string, of func(*result.Sample) float64) template.HTML {
	p := plot{title: title, xLabel: "seconds", yFormat: format}
	for i := range c.Contenders {
		m := middle(&c.Contenders[i])
		if m == nil || len(m.Series) < 2 {
			continue
		}
		p.lines = append(p.lines, line{color: colors[c.Contenders[i].Name], points: course(m.Series, of)})
	}
	return p.svg()
}

// maxPoints is what a plot shows of a course: about as many points as it is wide.
const maxPoints = 400

// course shows a long series by the means of neighbouring samples: a soak of hours has hundreds of thousands.
func course(series []result.Sample, of func(*result.Sample) float64) []xy {
	per := (len(series) + maxPoints - 1) / maxPoints
	var points []xy
	for begin := 0; begin < len(series); begin += per {
		part := series[begin:min(begin+per, len(series))]
		var sum float64
		for i := range part {
			sum += of(&part[i])
		}
		points = append(points, xy{part[len(part)/2].At.Seconds(), sum / float64(len(part))})
	}
	return points
}

func ratiosPlot(c *result.Case, colors palette) template.HTML {
	baseline := c.BaselineContender()
	if baseline == nil {
		return ""
	}
	var rows []ratio
	for _, metric := range []result.Metric{result.CPU, result.Wire, result.Anonymous, result.P99, result.Throughput} {
		heading := metric.Name
		for i := range c.Contenders {
			contender := &c.Contenders[i]
			if contender.Name == c.Baseline {
				continue
			}
			if s := result.Ratio(contender, baseline, metric); s.Min > 0 {
				rows = append(rows, ratio{
					heading: heading, color: colors[contender.Name], label: contender.Title, median: s.Median, low: s.Min, top: s.Max,
				})
				heading = ""
			}
		}
	}
	return ratioPlot("Against "+baseline.Title, rows)
}

func duration(ns float64) string { return Duration(time.Duration(ns)) }

func count(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	default:
		return fmt.Sprintf("%.6g", v)
	}
}
