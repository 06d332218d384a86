package cli

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
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
		{[]string{"compare", "one.json"}, misused, "compare needs two results, found 1"},
		{[]string{"report"}, misused, "report needs the JSON of a run"},
		{[]string{"list", "-scenarios", scenarios}, ok, "cpu-per-item"},
	} {
		code, said := call(t, test.args...)
		assert.Equal(t, test.code, code, said)
		assert.Contains(t, said, test.said)
	}
}
