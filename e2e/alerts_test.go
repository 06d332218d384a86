package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// alerting is a Collector that alerts on its own health: one rule fires at once, another can never fire.
func alerting(p ports, alerts string) string {
	return fmt.Sprintf(`
receivers:
  selfmetrics: {collection_interval: 1s, initial_delay: 0s, telemetry: {endpoint: "http://%s/metrics"}}
exporters:
  alertrules: {}
extensions:
  health_check: {endpoint: %q}
  alertmanager:
    http: {endpoint: %q}
    evaluation_interval: 1s
    rules:
      - name: ProcessIsUp
        metric: otelcol.self.scrape.up
        match: {source: process}
        op: ">="
        threshold: 1
        severity: critical
        annotations: {summary: "A summary that is long enough to need more than one line on a telephone, with a-word-that-is-very-long-and-cannot-be-broken-anywhere"}
      - {name: Never, expr: "vector(0) > 1"}
service:
  extensions: [health_check, alertmanager]
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %s}}}}]}}
  pipelines:
    metrics/self: {receivers: [selfmetrics], exporters: [alertrules]}
`, p.metrics, p.health, alerts, p.metrics[strings.LastIndex(p.metrics, ":")+1:])
}

// browser starts chromium without a window.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// problems lists what is clipped, overlaps or cannot be read on the page as it is: text that is wider than its box, buttons that lie on
// each other, a page wider than the window, and text with less contrast to its background than WCAG 2.2 asks for (4.5 to 1).
const problems = `(() => {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push('the page is wider than the window: ' + document.documentElement.scrollWidth);
  const shown = (e) => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0 && getComputedStyle(e).visibility !== 'hidden'; };
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m; };
  const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !shown(e) || e.closest('svg')) continue;
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline') found.push('clipped: ' + e.textContent.slice(0, 40));
    let back = e, colour = null;
    while (back && !(colour = parse(getComputedStyle(back).backgroundColor))) back = back.parentElement;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(colour || [255, 255, 255])].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push('contrast ' + ((a + 0.05) / (b + 0.05)).toFixed(2) + ': ' + e.textContent.slice(0, 40));
  }
  const boxes = [...document.querySelectorAll('main button, main input, nav a')].filter(shown);
  boxes.forEach((x, i) => boxes.slice(i + 1).forEach((y) => { const p = x.getBoundingClientRect(), q = y.getBoundingClientRect();
    if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 1 && q.top < p.bottom - 1) found.push('overlap: ' + x.textContent + ', ' + y.textContent); }));
  return found;
})()`

// TestTheAlertPageInABrowser opens the page, sees an alert fire, acknowledges and resolves it with the keyboard's help, and looks at
// every view at the width of a telephone and of a desk, light and dark. SCREENSHOTS names a folder that gets pictures.
func TestTheAlertPageInABrowser(t *testing.T) {
	t.Parallel()
	p, alerts := freePorts(t), freeAddress(t)
	startCollector(t, distribution(t), p, alerting(p, alerts))
	ctx := browser(t)
	require.NoError(t, chromedp.Run(ctx, chromedp.Navigate("http://"+alerts+"/"),
		chromedp.WaitVisible(`article.critical`), chromedp.WaitVisible(`.course svg path`)))

	for _, dark := range []bool{false, true} {
		for width, height := range map[int64]int64{390: 844, 1280: 900} {
			for _, view := range []string{"active", "silences", "history", "statistics", "rules"} {
				var found []string
				require.NoError(t, chromedp.Run(ctx,
					chromedp.EmulateViewport(width, height), emulateScheme(dark),
					chromedp.Evaluate(`location.hash = '`+view+`'`, nil),
					chromedp.WaitVisible(`nav a[href="#`+view+`"][aria-current]`), chromedp.WaitVisible(`#view > *`),
					chromedp.Evaluate(problems, &found)), view)
				assert.Empty(t, found, "%s, %d pixels, dark: %v", view, width, dark)
				screenshot(t, ctx, fmt.Sprintf("alerts-%s-%d-dark-%v.png", view, width, dark))
			}
		}
	}

	// What is shown again with each event stays the same element, with its plot: nobody loses the place or a selection.
	var text string
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`location.hash = 'active'`, nil), chromedp.WaitVisible(`article.critical svg path`),
		chromedp.Evaluate(`document.querySelector('article.critical').seen = true`, nil)))
	postAlert(t, alerts, "FromOutside", "")
	var same bool
	require.NoError(t, chromedp.Run(ctx, chromedp.WaitVisible(`//h2[contains(., "FromOutside")]`),
		chromedp.Evaluate(`document.querySelector('article.critical').seen === true && !!document.querySelector('article.critical svg path')`, &same)))
	assert.True(t, same)

	act := func(button string) {
		t.Helper()
		require.NoError(t, chromedp.Run(ctx, chromedp.Click(`//article[contains(@class, "critical")]//button[. = "`+button+`"]`), chromedp.WaitVisible(`#dialog[open]`)), button)
	}
	act("Acknowledge")
	require.NoError(t, chromedp.Run(ctx, chromedp.SendKeys(`#who`, "ann"), chromedp.SendKeys(`#why`, "looking\r"), // Enter sends the form
		chromedp.WaitVisible(`//article//p[contains(., "acknowledged by ann: looking")]`),
		chromedp.Evaluate(`location.hash = 'silences'`, nil), chromedp.WaitVisible(`//td[contains(., "on recovery")]`),
		chromedp.Evaluate(`location.hash = 'active'`, nil), chromedp.WaitVisible(`article.critical`)))
	followsEvents(t, ctx, alerts)
	act("Take back")
	require.NoError(t, chromedp.Run(ctx, chromedp.Click(`#confirm`), chromedp.WaitNotPresent(`//article//p[contains(., "acknowledged by ann")]`)))

	keepsTheFocus(t, ctx, alerts)

	// A request that fails says why, where it was made.
	act("Silence")
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`window.fetch = (f => (p, o) => f(p, o && o.method ? {...o, body: '{}'} : o))(window.fetch)`, nil),
		chromedp.Click(`#confirm`), chromedp.WaitVisible(`#dialog-error`), chromedp.Text(`#dialog-error`, &text)))
	assert.Contains(t, text, "in body is required")
	require.NoError(t, chromedp.Run(ctx, chromedp.Reload(), chromedp.WaitVisible(`article.critical`)))

	act("Acknowledge")
	require.NoError(t, chromedp.Run(ctx, chromedp.Click(`#confirm`), chromedp.WaitVisible(`//article//p[contains(., "acknowledged by ann")]`)))
	act("Resolve")
	require.NoError(t, chromedp.Run(ctx, chromedp.Click(`#confirm`), chromedp.WaitNotPresent(`article.critical`),
		chromedp.Evaluate(`location.hash = 'history'`, nil), chromedp.WaitVisible(`//td[starts-with(., "ann after ")]`), chromedp.Text(`#view`, &text)))
	assert.Contains(t, text, "A summary that is long enough")

	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`location.hash = 'rules'`, nil), chromedp.WaitVisible(`//span[. = "Never"]`),
		chromedp.KeyEvent("/"), chromedp.WaitVisible(`#filter:focus`), chromedp.KeyEvent("never"), chromedp.WaitNotPresent(`//span[. = "HighCPU"]`)))
}

// followsEvents sees on the open page what others do, by the events alone, without the page asking now and then.
func followsEvents(t *testing.T, ctx context.Context, alerts string) { //nolint:revive // the browser's context is not the test's
	t.Helper()
	withoutPolling := chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`window.setInterval = () => 0`).Do(ctx)
		return err
	})
	acknowledged := `//article//p[contains(., "acknowledged by ann")]`
	require.NoError(t, chromedp.Run(ctx, withoutPolling, chromedp.Reload(), chromedp.WaitVisible(acknowledged), chromedp.WaitVisible(`#live.on`)))
	incident := "http://" + alerts + "/api/v1/alerts/" + active(t, alerts)["ProcessIsUp"].ID
	post(t, incident+"/unacknowledge", `{"who": "bob"}`)
	require.NoError(t, chromedp.Run(ctx, chromedp.WaitNotPresent(acknowledged)))
	post(t, incident+"/acknowledge", `{"who": "ann"}`)
	require.NoError(t, chromedp.Run(ctx, chromedp.WaitVisible(acknowledged)))
}

// keepsTheFocus sees that what has the focus is the same silence when the one before it has ended, and that the dialog says which one it ends.
func keepsTheFocus(t *testing.T, ctx context.Context, alerts string) { //nolint:revive // the browser's context is not the test's
	t.Helper()
	for hours, name := range []string{"first", "second", "third"} { // the list begins with what ends first
		post(t, "http://"+alerts+"/api/v2/silences", fmt.Sprintf(
			`{"createdBy": "ann", "comment": "trial", "startsAt": %q, "endsAt": %q, "matchers": [{"name": "silence", "value": %q, "isRegex": false}]}`,
			time.Now().Format(time.RFC3339), time.Now().Add(time.Duration(hours+1)*time.Hour).Format(time.RFC3339), name))
	}
	end := func(name string) string { return `//tr[contains(., "silence=` + name + `")]//button` }
	var text string
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`location.hash = 'silences'`, nil), chromedp.WaitVisible(end("third")),
		chromedp.Click(end("first")), chromedp.WaitVisible(`#dialog[open]`), chromedp.Text(`#dialog-title`, &text), chromedp.Click(`#cancel`),
		chromedp.Focus(end("second")),
		// As when somebody else ends it.
		chromedp.Evaluate(`fetch('api/v2/silence/' + document.querySelector('[data-button]').dataset.button, {method: 'DELETE'}).then(show)`, nil),
		chromedp.WaitNotPresent(end("first"))))
	assert.Equal(t, "End the silence: silence=first", text)
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`document.activeElement.closest('tr')?.textContent || ''`, &text)))
	assert.Contains(t, text, "silence=second")
	require.NoError(t, chromedp.Run(ctx, chromedp.Evaluate(`location.hash = 'active'`, nil), chromedp.WaitVisible(`article.critical`)))
}

func screenshot(t *testing.T, ctx context.Context, name string) { //nolint:revive // the browser's context is not the test's
	t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	var picture []byte
	require.NoError(t, chromedp.Run(ctx, chromedp.FullScreenshot(&picture, 100)))
	require.NoError(t, os.WriteFile(filepath.Join(folder, name), picture, 0o600))
}

// TestTheV2APIOfTheBinary is what a Prometheus that sends alerts, and amtool, use.
func TestTheV2APIOfTheBinary(t *testing.T) {
	t.Parallel()
	p, alerts := freePorts(t), freeAddress(t)
	startCollector(t, distribution(t), p, alerting(p, alerts))
	body := `[{"labels": {"alertname": "FromOutside"}, "annotations": {"summary": "s"}}]`
	response, err := http.Post("http://"+alerts+"/api/v2/alerts", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
	for _, path := range []string{"/api/v2/alerts", "/api/v1/alerts"} {
		status, listed := get(t, "http://"+alerts+path)
		require.Equal(t, http.StatusOK, status)
		assert.Contains(t, listed, "FromOutside", path)
	}
}
