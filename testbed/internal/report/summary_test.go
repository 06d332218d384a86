package report

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

func contender(name string, cpu float64, anonymous uint64) result.Contender {
	return result.Contender{
		Name: name, Title: "the " + name,
		Rounds: []result.Measurement{{CPUPerMillion: cpu, WireBytesPerItem: 100, PeakAnonymous: anonymous << 20}},
	}
}

func TestCasesOfOneBaselineAreSummarized(t *testing.T) {
	r := &result.Report{Cases: []result.Case{
		{ID: "few", Baseline: "stock", Contenders: []result.Contender{contender("stock", 10, 50), contender("ours", 5, 20)}},
		{ID: "many", Baseline: "stock", Contenders: []result.Contender{contender("stock", 8, 60), contender("proxy", 1, 5), contender("ours", 2, 30)}},
	}}
	s := summaries(r)
	assert.Equal(t, summary{
		Title: "CPU for each item, against the stock", Columns: []string{"Case", "the ours", "the proxy"},
		Rows: [][]string{{"few", "0.50 (0.50 to 0.50)", ""}, {"many", "0.25 (0.25 to 0.25)", "0.12 (0.12 to 0.12)"}},
	}, s[0])
	assert.Equal(t, [][]string{{"few", "50", "20", ""}, {"many", "60", "30", "5"}}, s[2].Rows)

	assert.Empty(t, summaries(&result.Report{Cases: r.Cases[:1]}), "one case is its own summary")
	r.Cases[1].Baseline = "proxy"
	assert.Empty(t, summaries(r), "ratios to different contenders do not belong into one table")
}
