package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/runner"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/scenario"
)

// progress is a bar over the time that all cases take, with rate, errors and time left.
type progress struct {
	bar   *progressbar.ProgressBar
	label string
}

func newProgress(to io.Writer, cases []scenario.Case) *progress {
	return &progress{bar: progressbar.NewOptions64(runner.Seconds(cases).Milliseconds(),
		progressbar.OptionSetWriter(to),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionSetWidth(20),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// Begin implements runner.Progress.
func (p *progress) Begin(caseID, contender string, round int) {
	p.label = fmt.Sprintf("%s %s #%d", caseID, contender, round+1)
	p.bar.Describe(p.label)
}

// Sample implements runner.Progress.
func (p *progress) Sample(rate float64, failures uint64, elapsed time.Duration) {
	p.bar.Describe(fmt.Sprintf("%s  %.0f items/s, %d errors", p.label, rate, failures))
	// The only errors are a bar beyond its end and a writer that is gone; neither is worth ending a run.
	_ = p.bar.Add64(elapsed.Milliseconds())
}

func (p *progress) finish() { _ = p.bar.Finish() }
