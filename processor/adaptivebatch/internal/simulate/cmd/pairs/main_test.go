package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSameRankIsToldFromAnother(t *testing.T) {
	ms := func(values ...int) []time.Duration {
		all := make([]time.Duration, len(values))
		for i, v := range values {
			all[i] = time.Duration(v) * time.Millisecond
		}
		return all
	}
	for _, c := range []struct {
		why                 string
		simulated, measured []time.Duration
		want                bool
	}{
		{"the same", ms(10, 20, 200), ms(11, 30, 210), true},
		{"a difference that noise explains", ms(10, 12), ms(12, 10), true},
		{"what clearly differs does not", ms(10, 20), ms(20, 20), false},
		{"the other way round", ms(10, 14), ms(14, 10), false},
	} {
		assert.Equal(t, c.want, sameRank(c.simulated, c.measured), c.why)
	}
}

func TestEachScenarioIsAPairOfTheSimulator(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "..", "..", "..", "testbed", "scenarios", "pair-*.yaml"))
	require.NoError(t, err)
	var known []string
	for _, c := range cases {
		known = append(known, c.scenario)
		assert.NotNil(t, find(c.load, c.backend).Load)
	}
	var have []string
	for _, f := range files {
		have = append(have, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	assert.ElementsMatch(t, known, have)
}

func TestAReportWithoutAPairIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	content := fmt.Sprintf(`{"cases":[{"id":%q,"contenders":[]}]}`, cases[0].scenario)
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	assert.ErrorContains(t, compare(file, "p50", &bytes.Buffer{}), "no measurement of "+cases[0].scenario+" with adaptive")
}
