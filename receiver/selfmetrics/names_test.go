package selfmetrics

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/semconv/v1.43.0/goconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/processconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/systemconv"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/endpoint"
)

// TestNamesAndUnitsAreThoseOfTheSemanticConventions, wherever those have them.
func TestNamesAndUnitsAreThoseOfTheSemanticConventions(t *testing.T) {
	conventions := make(map[string]string)
	for _, m := range []interface {
		Name() string
		Unit() string
	}{
		goconv.GoroutineCount{}, goconv.MemoryAllocated{}, goconv.MemoryAllocations{}, goconv.MemoryGCCycles{}, goconv.MemoryGCGoal{},
		goconv.MemoryLimit{}, goconv.MemoryUsed{}, goconv.ProcessorLimit{},
		processconv.CPUTime{}, processconv.CPUUtilization{}, processconv.DiskIO{}, processconv.MemoryUsage{}, processconv.MemoryVirtual{},
		processconv.ThreadCount{}, processconv.UnixFileDescriptorCount{}, processconv.Uptime{},
		systemconv.CPULogicalCount{}, systemconv.CPUTime{}, systemconv.CPUUtilization{}, systemconv.DiskIO{}, systemconv.DiskOperations{},
		systemconv.FilesystemUsage{}, systemconv.FilesystemUtilization{}, systemconv.MemoryLimit{}, systemconv.MemoryLinuxAvailable{},
		systemconv.MemoryUsage{}, systemconv.MemoryUtilization{}, systemconv.NetworkErrors{}, systemconv.NetworkIO{}, systemconv.NetworkPacketDropped{},
	} {
		conventions[m.Name()] = m.Unit()
	}
	for name, m := range declared(t) {
		if !own(name) {
			assert.Equal(t, conventions[name], m.Unit, name)
		}
	}
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}

// TestTheReadmeNamesWhatThereIs: every name in it exists, and its table has every metric of our own.
func TestTheReadmeNamesWhatThereIs(t *testing.T) {
	metrics := declared(t)
	missing := maps.Clone(metrics)
	for _, name := range regexp.MustCompile(`\b(?:otelcol\.self|process|system|go)\.[a-z_.]*[a-z]\b`).FindAllString(readme(t), -1) {
		assert.Contains(t, metrics, name)
		delete(missing, name)
	}
	maps.DeleteFunc(missing, func(name string, _ metric) bool { return !strings.HasPrefix(name, "otelcol.self.") })
	assert.Empty(t, slices.Sorted(maps.Keys(missing)), "not in the README")
}

// TestTheReadmesQueriesAreQueries of metrics and attributes that exist.
func TestTheReadmesQueriesAreQueries(t *testing.T) {
	metrics := declared(t)
	queries := 0
	for _, block := range regexp.MustCompile("(?s)```promql\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		for query := range strings.SplitSeq(block[1], "\n\n") {
			queries++
			expression, err := parser.NewParser(parser.Options{}).ParseExpr(query)
			require.NoError(t, err, query)
			for _, selectors := range parser.ExtractSelectors(expression) {
				name := ""
				for _, matcher := range selectors {
					if matcher.Name == "__name__" {
						name = matcher.Value
					}
				}
				if m, found := metrics[name]; found {
					for _, matcher := range selectors {
						if matcher.Name != "__name__" {
							assert.Contains(t, m.Attributes, matcher.Name, query)
						}
					}
					continue
				}
				assert.True(t, endpoint.Knows(strings.TrimSuffix(name, "_bucket")), "%s in %s is neither ours nor read from the endpoint", name, query)
			}
		}
	}
	assert.Positive(t, queries)
}
