package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drawingProblems lists what is wrong inside the plots of a page: text outside its drawing, on other text, or under a mark, or with less contrast to
// the panel behind it than WCAG 2.2 asks for text (4.5 to 1), and lines with less than it asks for graphics (3 to 1).
const drawingProblems = `(() => {
  const found = [];
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m; };
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const contrast = (e, colour) => { let back = e, behind = null;
    while (back && !(behind = parse(getComputedStyle(back).backgroundColor))) back = back.parentElement;
    const [a, b] = [light(parse(colour)), light(behind || [255, 255, 255])].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  for (const svg of document.querySelectorAll('svg')) {
    const name = svg.getAttribute('aria-label') + ': ', frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map((e) => ({e, r: e.getBoundingClientRect(), t: e.textContent}));
    for (const {e, r, t} of texts) {
      if (/\d\.\d{5}/.test(t)) found.push(name + 'more digits than anybody reads: ' + t);
      if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1) found.push(name + 'clipped: ' + t);
      const c = contrast(svg, getComputedStyle(e).fill);
      if (c < 4.5) found.push(name + 'contrast ' + c.toFixed(2) + ': ' + t);
    }
    const marks = [...svg.querySelectorAll('circle, line[class^="c"]')].map((e) => e.getBoundingClientRect());
    for (const {r, t} of texts) for (const m of marks) {
      if (m.left < r.right && r.left < m.right && m.top < r.bottom - 2 && r.top < m.bottom - 2) found.push(name + 'a mark on: ' + t); }
    texts.forEach((x, i) => texts.slice(i + 1).forEach((y) => {
      if (x.r.left < y.r.right + 2 && y.r.left < x.r.right + 2 && x.r.top < y.r.bottom - 2 && y.r.top < x.r.bottom - 2) found.push(name + 'overlap: ' + x.t + ', ' + y.t); }));
    for (const l of svg.querySelectorAll('polyline, line[class^="c"]')) {
      const c = contrast(svg, getComputedStyle(l).stroke);
      if (c < 3) found.push(name + 'contrast ' + c.toFixed(2) + ' of a line, ' + l.getAttribute('class'));
    }
  }
  if (innerWidth > 1000) for (const e of document.querySelectorAll('.scroll')) {
    if (e.scrollWidth > e.clientWidth) found.push('a table is wider than a desk: ' + e.scrollWidth + ', there is room for ' + e.clientWidth); }
  return found;
})()`

// TestTheReportOfALoadTestInABrowser runs the testbed against the binary and looks at the page it writes, at the width of a telephone and
// of a desk, light and dark. SCREENSHOTS names a folder that gets pictures.
func TestTheReportOfALoadTestInABrowser(t *testing.T) {
	t.Parallel()
	distribution(t)
	folder := t.TempDir()
	run := exec.CommandContext(t.Context(), "go", "run", "./cmd/testbed", "run", "cpu-per-item", "-quiet", "-out", folder, "-rounds", "2",
		"-duration", "1s", "-filter", "traces/items=100/(none|zstd)$", "-contenders", "same-binary-batch,ours,ours-bytes,ours-receiver-exporter")
	run.Dir = filepath.Join(repository, "testbed")
	said, err := run.CombinedOutput()
	require.NoError(t, err, string(said))

	ctx := browser(t)
	const plots = 8 // of two cases: latency, throughput, memory, ratios
	var drawn int
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate("file://"+filepath.Join(folder, "report.html")),
		chromedp.WaitVisible(".plots svg"), chromedp.Evaluate(`document.querySelectorAll(".plots svg").length`, &drawn)))
	assert.Equal(t, plots, drawn)
	for _, dark := range []bool{false, true} {
		for width, height := range map[int64]int64{390: 844, 1280: 900} {
			var found, inDrawings []string
			require.NoError(t, chromedp.Run(ctx, chromedp.EmulateViewport(width, height), emulateScheme(dark),
				chromedp.Evaluate(problems, &found), chromedp.Evaluate(drawingProblems, &inDrawings)))
			assert.Empty(t, append(found, inDrawings...), "%d pixels, dark: %v", width, dark)
			screenshot(t, ctx, fmt.Sprintf("report-%d-dark-%v.png", width, dark))
		}
	}
}
