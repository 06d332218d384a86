package main

import (
	"fmt"
	"math"
	"strings"
)

type point struct{ x, y float64 }

// line is a course; its class is "adaptive" or "fixed".
type line struct {
	class  string
	points []point
}

// panel is one diagram of a page, with a logarithmic axis of values.
type panel struct {
	title string
	lines []line
}

const (
	width, left, right = 720.0, 56.0, 20.0
	panelHeight        = 150.0
	panelTop           = 24.0
	header, footer     = 34.0, 24.0
	secondsPerTick     = 10
)

// The colours have a contrast of 4.5 and more to white, and to the dark background of pages that are read at night.
const style = `text{font:12px system-ui,sans-serif;fill:#444c56}.title{font-weight:600}.grid{stroke:#d0d7de}` +
	`path{fill:none;stroke-width:1.6}.adaptive{stroke:#0a58ca}.fixed{stroke:#b3470a}text.adaptive{fill:#0a58ca;stroke:none}text.fixed{fill:#b3470a;stroke:none}` +
	`@media(prefers-color-scheme:dark){text{fill:#c9d1d9}.grid{stroke:#30363d}.adaptive{stroke:#79b8ff}.fixed{stroke:#ffab70}` +
	`text.adaptive{fill:#79b8ff}text.fixed{fill:#ffab70}}`

func page(title string, panels []panel) []byte {
	var b strings.Builder
	height := header + float64(len(panels))*panelHeight + footer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img"><title>%s</title><style>%s</style>`+"\n", width, height, title, style)
	fmt.Fprintf(&b, `<text class="title" x="%g" y="18">%s</text><text class="adaptive" x="%g" y="18">adaptive</text>`+
		`<text class="fixed" x="%g" y="18">fixed: 8192 items or 200 ms</text>`+"\n", left, title, width-270, width-205)
	for i, p := range panels {
		p.write(&b, header+float64(i)*panelHeight, i == len(panels)-1)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func (p *panel) write(b *strings.Builder, top float64, last bool) {
	end, low, high := p.bounds()
	bottom := top + panelHeight - 8
	x := func(v float64) float64 { return left + (width-left-right)*v/end }
	y := func(v float64) float64 { return bottom - (bottom-top-panelTop)*math.Log10(v/low)/math.Log10(high/low) }
	fmt.Fprintf(b, `<text x="%g" y="%g">%s</text>`, left, top+14, p.title)
	for v := low; v <= high*1.001; v *= 10 {
		fmt.Fprintf(b, `<path class="grid" d="M%g %.1fH%g"/><text x="%g" y="%.1f" text-anchor="end">%s</text>`, left, y(v), width-right, left-6, y(v)+4, number(v))
	}
	if last {
		for v := 0; float64(v) <= end; v += secondsPerTick {
			fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%d s</text>`, x(float64(v)), bottom+18, v)
		}
	}
	for _, l := range p.lines {
		command := 'M'
		fmt.Fprintf(b, `<path class="%s" d="`, l.class)
		for _, pt := range l.points {
			fmt.Fprintf(b, "%c%.1f %.1f", command, x(pt.x), y(pt.y))
			command = 'L'
		}
		b.WriteString(`"/>`)
	}
	b.WriteByte('\n')
}

// bounds are whole powers of ten around the values.
func (p *panel) bounds() (end, low, high float64) {
	low, high = math.Inf(1), 0
	for _, l := range p.lines {
		for _, pt := range l.points {
			end, low, high = max(end, pt.x), min(low, pt.y), max(high, pt.y)
		}
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
	return end, low, max(high, low*10)
}

func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", v)
}
