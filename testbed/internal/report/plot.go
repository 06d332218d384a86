package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Size of a plot and of the room for its labels, in the units of its view box: the page scales it.
const (
	plotWidth, plotHeight   = 460.0, 266.0
	marginLeft, marginRight = 64.0, 18.0
	marginTop, marginBottom = 28.0, 44.0
	innerWidth, innerHeight = plotWidth - marginLeft - marginRight, plotHeight - marginTop - marginBottom
	maxTicks                = 5
	ratioRow                = 22.0
	// What a letter of the plots' font takes on average, in the larger size that small screens get.
	letterWidth, capitalWidth = 8.0, 11.0
)

type xy struct{ x, y float64 }

// line is one course of a plot. Its color is the contender's place in the case, as in the legend.
type line struct {
	color  int
	points []xy
}

type tick struct {
	at    float64
	label string
}

// plot draws lines over labelled axes.
type plot struct {
	title, xLabel string
	lines         []line
	xTicks        []tick
	yFormat       func(float64) string
	yLog          bool
}

// svg is empty where there is nothing to draw.
func (p *plot) svg() template.HTML {
	xMin, xMax, yMin, yMax := p.bounds()
	if xMin >= xMax {
		return ""
	}
	if p.yLog {
		yMin, yMax = math.Pow(10, math.Floor(math.Log10(yMin))), math.Pow(10, math.Ceil(math.Log10(yMax*1.0001)))
	} else {
		yMin, yMax = 0, yMax*1.05
	}
	yScale := scale(yMin, yMax, p.yLog)
	x := func(v float64) float64 { return marginLeft + innerWidth*(v-xMin)/(xMax-xMin) }
	y := func(v float64) float64 { return marginTop + innerHeight*(1-yScale(v)) }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, html.EscapeString(p.title))
	fmt.Fprintf(&b, `<text class="title" x="%g" y="16">%s</text>`, marginLeft, html.EscapeString(p.title))
	for _, t := range yTicks(yMin, yMax, p.yLog) {
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, marginLeft, plotWidth-marginRight, y(t), y(t))
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">%s</text>`, marginLeft-6, y(t)+4, html.EscapeString(p.yFormat(t)))
	}
	ticks := p.xTicks
	if ticks == nil {
		for _, t := range yTicks(xMin, xMax, false) {
			ticks = append(ticks, tick{t, fmt.Sprintf("%.6g", t)})
		}
	}
	for _, t := range ticks {
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, x(t.at), plotHeight-marginBottom+21, html.EscapeString(t.label))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`, marginLeft+innerWidth/2, plotHeight-6, html.EscapeString(p.xLabel))
	for _, l := range p.lines {
		var points strings.Builder
		for _, pt := range l.points {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(pt.x), y(pt.y))
		}
		fmt.Fprintf(&b, `<polyline class="c%d" points="%s"/>`, l.color, strings.TrimSpace(points.String()))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text was escaped above
}

func (p *plot) bounds() (xMin, xMax, yMin, yMax float64) {
	xMin, xMax, yMin, yMax = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, l := range p.lines {
		for _, pt := range l.points {
			xMin, xMax = min(xMin, pt.x), max(xMax, pt.x)
			yMin, yMax = min(yMin, pt.y), max(yMax, pt.y)
		}
	}
	return xMin, xMax, yMin, max(yMax, math.SmallestNonzeroFloat64)
}

// scale maps low to high to 0 to 1.
func scale(low, high float64, logarithmic bool) func(float64) float64 {
	if logarithmic {
		low, high = math.Log10(low), math.Log10(high)
		return func(v float64) float64 { return (math.Log10(v) - low) / (high - low) }
	}
	return func(v float64) float64 { return (v - low) / (high - low) }
}

// yTicks are round numbers between low and high: powers of ten, or multiples of 1, 2 or 5 times a power of ten.
func yTicks(low, high float64, logarithmic bool) (ticks []float64) {
	if logarithmic {
		for v := low; v <= high*1.001; v *= 10 {
			ticks = append(ticks, v)
		}
		return ticks
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/maxTicks)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= maxTicks {
			step *= factor
			break
		}
	}
	for i := math.Ceil(low / step); i*step <= high; i++ {
		ticks = append(ticks, i*step+0) // + 0: the ceiling of a little below 0 is -0, and would be written so
	}
	return ticks
}

// ratio is one row of a plot of ratios. A heading stands above it, on a line of its own.
type ratio struct {
	heading          string
	color            int
	label            string
	median, low, top float64
}

func labelWidth(label string) (width float64) {
	for _, letter := range label {
		if unicode.IsUpper(letter) {
			width += capitalWidth
		} else {
			width += letterWidth
		}
	}
	return width
}

// ratioPlot draws each ratio as a point with its range, on a logarithmic axis around 1, so that half and double are as far.
func ratioPlot(title string, rows []ratio) template.HTML {
	low, high := 0.5, 2.0
	labels := 0.0
	lines := len(rows)
	for _, r := range rows {
		if r.heading != "" {
			lines++
		}
		low, high = min(low, r.low/1.1), max(high, r.top*1.1)
		labels = max(labels, labelWidth(r.label))
	}
	if len(rows) == 0 || low <= 0 {
		return ""
	}
	xScale := scale(low, high, true)
	x := func(v float64) float64 { return labels + 16 + (plotWidth-labels-16-marginRight)*xScale(v) }
	height := marginTop + ratioRow*float64(lines) + 24

	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, height, html.EscapeString(title))
	fmt.Fprintf(&b, `<text class="title" x="4" y="16">%s</text>`, html.EscapeString(title))
	var drawn []float64
	tooClose := func(v float64) bool {
		return slices.ContainsFunc(drawn, func(other float64) bool { return math.Abs(x(v)-x(other)) < 32 })
	}
	// 1 comes first: it is the one that must not give way. What is nearest to it comes next.
	for _, v := range []float64{1, 0.5, 2, 0.2, 5, 0.1, 10, 0.05, 20, 0.02, 50, 0.01, 100} {
		if v < low || v > high || tooClose(v) {
			continue
		}
		drawn = append(drawn, v)
		class := "grid"
		if v == 1 {
			class = "one"
		}
		fmt.Fprintf(&b, `<line class="%s" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, class, x(v), x(v), marginTop-4, height-20)
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%g</text>`, x(v), height-6, v)
	}
	y := marginTop - ratioRow/2
	for _, r := range rows {
		if r.heading != "" {
			y += ratioRow
			fmt.Fprintf(&b, `<text class="title" x="4" y="%g">%s</text>`, y+4, html.EscapeString(r.heading))
		}
		y += ratioRow
		fmt.Fprintf(&b, `<text x="12" y="%g">%s</text>`, y+4, html.EscapeString(r.label))
		fmt.Fprintf(&b, `<line class="c%d" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, r.color, x(r.low), x(r.top), y, y)
		fmt.Fprintf(&b, `<circle class="c%d" cx="%.1f" cy="%g" r="4"/>`, r.color, x(r.median), y)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text was escaped above
}
