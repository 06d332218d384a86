package cli

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/result"
)

// call carries out a command and returns its exit code and what it said on both streams.
func call(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var said bytes.Buffer
	return Main(t.Context(), args, &said, &said), said.String()
}

func TestFlagsStandBeforeOrAfterNames(t *testing.T) {
	scenarios := filepath.Join("..", "..", "scenarios")
	contenders := filepath.Join("..", "..", "peers", "contenders.yaml")
	for _, args := range [][]string{
		{"run", "-scenarios", scenarios, "-contenders-file", contenders, "-filter", "nothing-is-called-so", "smoke"},
		{"run", "smoke", "-scenarios", scenarios, "-contenders-file", contenders, "-filter", "nothing-is-called-so"},
		{"run", "-scenarios", scenarios, "smoke", "-filter", "nothing-is-called-so", "idle", "-contenders-file", contenders},
	} {
		code, said := call(t, args...)
		assert.Equal(t, failed, code, said)
		assert.Contains(t, said, `no case matches "nothing-is-called-so"`)
	}
}

func TestWrongCallsAreRefused(t *testing.T) {
	scenarios := filepath.Join("..", "..", "scenarios")
	for _, test := range []struct {
		args []string
		code int
		said string
	}{
		{nil, ok, "testbed run [flags]"},
		{[]string{"play"}, misused, `unknown command "play"`},
		{[]string{"run"}, misused, "needs the name of a scenario or suite"},
		{[]string{"run", "smoke", "-rouds", "2"}, misused, "-rouds"},
		{[]string{"run", "-program", "otelcol-adaptive"}, misused, "must be NAME=PATH"},
		{[]string{"run", "nowhere", "-scenarios", scenarios, "-contenders-file", filepath.Join(scenarios, "..", "peers", "contenders.yaml")}, failed, "nowhere"},
		{[]string{"run", "smoke", "-contenders", "nobody", "-scenarios", scenarios, "-contenders-file", filepath.Join(scenarios, "..", "peers", "contenders.yaml")},
			misused, `smoke: no contender is called "nobody"`},
		{[]string{"compare", "one.json"}, misused, "compare needs two results, found 1"},
		{[]string{"report"}, misused, "report needs the JSON of a run"},
		{[]string{"goals", "b.txt"}, misused, "goals needs the output of the benchmarks and the JSON of a run"},
		{[]string{"goals", "b.txt", "r.json"}, failed, "b.txt: no such file"},
		{[]string{"list", "-scenarios", scenarios}, ok, "cpu-per-item"},
	} {
		code, said := call(t, test.args...)
		assert.Equal(t, test.code, code, said)
		assert.Contains(t, said, test.said)
	}
}

// saved writes a result with the CPU of three rounds.
func saved(t *testing.T, name string, change func(*result.Report), cpu ...float64) string {
	t.Helper()
	c := result.Contender{Name: "ours", Title: "ours", Ours: true}
	for _, v := range cpu {
		c.Rounds = append(c.Rounds, result.Measurement{CPUPerMillion: v, Throughput: 1000, PeakAnonymous: 10 << 20, Latency: result.Latency{P99: time.Millisecond}})
	}
	r := &result.Report{Command: "testbed run a", Cases: []result.Case{{ID: "a", Baseline: "ours", Contenders: []result.Contender{c}}}}
	if change != nil {
		change(r)
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, r.Write(path))
	return path
}

func TestCompareFailsWhereSomethingIsWorse(t *testing.T) {
	before := saved(t, "before", nil, 5, 5.1, 4.9)
	more := saved(t, "b", func(r *result.Report) {
		r.Cases = append(r.Cases, result.Case{ID: "new", Contenders: []result.Contender{{Name: "x", Rounds: make([]result.Measurement, 1)}}})
	}, 5, 5, 5)
	for name, test := range map[string]struct {
		after string
		code  int
		said  []string
	}{
		"the same":           {saved(t, "b", nil, 5, 5.05, 4.95), ok, []string{"0 worse, 0 better by more than 5 %"}},
		"worse by 4 %":       {saved(t, "b", nil, 5.2, 5.21, 5.19), ok, []string{"0 worse"}},
		"worse by 6 %":       {saved(t, "b", nil, 5.3, 5.31, 5.29), failed, []string{"1.060  worse", "1 figures are worse", "5 (4.9 to 5.1)", "5.3 (5.29 to 5.31)"}},
		"within the scatter": {saved(t, "b", nil, 6, 9, 5), ok, []string{"0 worse"}},
		"better":             {saved(t, "b", nil, 4, 4.1, 3.9), ok, []string{"0.800  better", "1 better"}},
		"one item lost": {saved(t, "b", func(r *result.Report) { r.Cases[0].Contenders[0].Rounds[0].Counts.Lost = 1 }, 5, 5, 5), failed,
			[]string{"worse: a, ours: acknowledged items lost: 1 in 3 rounds, before 0 in 3"}},
		"another machine": {saved(t, "b", func(r *result.Report) { r.Machine.CPU = "other" }, 5, 5, 5), ok, []string{"the machines differ"}},
		"one case more":   {more, ok, []string{"only after:  new, x"}},
		"another case":    {saved(t, "b", func(r *result.Report) { r.Cases[0].ID = "b" }, 5), failed, []string{"no case and contender in common"}},
	} {
		code, said := call(t, "compare", before, test.after)
		assert.Equal(t, test.code, code, "%s: %s", name, said)
		for _, want := range test.said {
			assert.Contains(t, said, want, name)
		}
	}
	code, said := call(t, "compare", more, before)
	assert.Equal(t, failed, code, "what is not measured any more may be as bad as it likes")
	assert.Contains(t, said, "worse: only before: new, x")
	_, said = call(t, "compare", "-all", before, saved(t, "b", nil, 5, 5, 5))
	assert.Regexp(t, `a +ours +peak anonymous +10 MiB +10 MiB +1.000 +no clear change`, said)
	code, said = call(t, "compare", before, before+"x")
	assert.Equal(t, failed, code)
	assert.Contains(t, said, "no such file")
}

func TestTwoContendersOfOneRunAreCompared(t *testing.T) {
	run := saved(t, "r.json", func(r *result.Report) {
		slower := result.Contender{Name: "slower", Rounds: []result.Measurement{{CPUPerMillion: 6}, {CPUPerMillion: 6.1}}}
		r.Cases[0].Contenders = append(r.Cases[0].Contenders, slower)
	}, 5, 5.1)
	code, said := call(t, "compare", "-contenders", "ours,slower", run)
	assert.Equal(t, failed, code)
	assert.Regexp(t, `a +ours,slower +CPU +5.05 \(5 to 5.1\) +6.05 \(6 to 6.1\) +1.198 +worse`, said)
	code, said = call(t, "compare", "-contenders", "slower,ours", run)
	assert.Equal(t, ok, code, said)
	code, said = call(t, "compare", "-contenders", "ours,nobody", run)
	assert.Equal(t, failed, code)
	assert.Contains(t, said, "in common")
	code, said = call(t, "compare", "-contenders", "ours", run)
	assert.Equal(t, misused, code)
	assert.Contains(t, said, "compares two contenders of one result, found 1 of 1")
}
