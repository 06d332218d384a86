package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`)

// testsUnder lists the tests in a folder and below, without those that mdatagen writes.
func testsUnder(t *testing.T, directory string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.HasPrefix(entry.Name(), "generated_") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, match := range testFunction.FindAllStringSubmatch(string(content), -1) {
			names = append(names, match[1])
		}
		return err
	}))
	return names
}

// A test that a later Collector adds fails here until ours hold the same, or a difference is written down.
func TestEveryStockTestHasItsCounterpart(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/dropin/stock_tests.yaml")
	require.NoError(t, err)
	var modules map[string]struct {
		Ours  string            `yaml:"ours"`
		Tests map[string]string `yaml:"tests"`
	}
	require.NoError(t, yaml.Unmarshal(content, &modules))
	require.Len(t, modules, 3)
	for module, counterparts := range modules {
		directory, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		require.NoError(t, err)
		stock := testsUnder(t, strings.TrimSpace(string(directory)))
		ours := testsUnder(t, filepath.Join(repository, counterparts.Ours))
		require.NotEmpty(t, ours)
		for _, name := range stock {
			assert.Contains(t, counterparts.Tests, name, "of %s", module)
		}
		for name, counterpart := range counterparts.Tests {
			assert.Contains(t, stock, name, "%s has no such test", module)
			if !strings.HasPrefix(counterpart, "difference: ") && !slices.Contains(ours, counterpart) {
				t.Errorf("%s has no test %s", counterparts.Ours, counterpart)
			}
		}
	}
}
