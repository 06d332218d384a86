package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// dashboard is what the tests look at of a Grafana dashboard.
type dashboard struct {
	file        string
	UID         string
	Title       string
	Description string
	Panels      []panel
}

type panel struct {
	ID          int
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Datasource struct{ Type, UID string }
	Targets    []struct{ RefID, Expr, LegendFormat string }
}

func dashboards(t *testing.T) (boards []dashboard) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "deploy", "grafana", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		board := dashboard{file: filepath.Base(file)}
		require.NoError(t, json.Unmarshal(content, &board), file)
		require.NotEmpty(t, board.Panels, file)
		boards = append(boards, board)
	}
	return boards
}

// stockMetrics are the names of the Collector and of its helpers, as of v0.161.
var stockMetrics = regexp.MustCompile(`^otelcol_(?:process_(?:uptime|cpu_seconds|memory_rss|runtime_(?:heap_alloc|total_alloc|total_sys_memory)_bytes)` +
	`|receiver_(?:accepted|refused|failed)_(?:spans|metric_points|log_records|profile_samples)` +
	`|exporter_(?:sent|send_failed|enqueue_failed)_(?:spans|metric_points|log_records|profile_samples)` +
	`|exporter_(?:queue_size|queue_capacity|in_flight_requests))$`)

// ownMetrics are the names under which the components of this repository report about themselves.
func ownMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, component := range []string{"exporter/pooledotlp", "receiver/pooledotlp", "processor/adaptivebatch", "extension/alertmanager"} {
		text, err := os.ReadFile(filepath.Join(repository, component, "metadata.yaml"))
		require.NoError(t, err)
		var content struct {
			Telemetry struct {
				Metrics map[string]any `yaml:"metrics"`
			} `yaml:"telemetry"`
		}
		require.NoError(t, yaml.Unmarshal(text, &content))
		require.NotEmpty(t, content.Telemetry.Metrics, component)
		for name := range content.Telemetry.Metrics {
			names = append(names, "otelcol_"+name)
		}
	}
	return names
}

// TestDashboardsReadWell: every panel says what it shows, in which unit, and whose each line is; none lies on another.
func TestDashboardsReadWell(t *testing.T) {
	t.Parallel()
	uids := make(map[string]string)
	for _, board := range dashboards(t) {
		assert.NotContains(t, uids, board.UID, "%s and %s", board.file, uids[board.UID])
		uids[board.UID] = board.file
		assert.NotEmpty(t, board.Description, board.file)
		taken, ids := make(map[[2]int]string), make(map[int]bool)
		for _, p := range board.Panels {
			where := board.file + ", " + p.Title
			assert.False(t, ids[p.ID], "%s: ID %d is taken", where, p.ID)
			ids[p.ID] = true
			assert.NotEmpty(t, p.Title, where)
			assert.True(t, strings.HasSuffix(p.Description, "."), "%s has the description %q", where, p.Description)
			assert.NotEmpty(t, p.FieldConfig.Defaults.Unit, where)
			assert.Equal(t, "${datasource}", p.Datasource.UID, where)
			assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, where)
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					require.Empty(t, taken[cell], "%s lies on %s", where, taken[cell])
					taken[cell] = p.Title
				}
			}
			require.NotEmpty(t, p.Targets, where)
			legends, references := make(map[string]bool), make(map[string]bool)
			for _, target := range p.Targets {
				assert.NotEmpty(t, target.LegendFormat, where)
				assert.False(t, legends[target.LegendFormat] || references[target.RefID], "%s: %s, %s are there twice", where, target.RefID, target.LegendFormat)
				legends[target.LegendFormat], references[target.RefID] = true, true
				assert.Contains(t, target.Expr, `{instance=~"$instance"`, where)
				// What the legend names has to be left over by the aggregation.
				for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					if by := regexp.MustCompile(`^\w+ by \(([^)]*)\)`).FindStringSubmatch(target.Expr); by != nil {
						assert.Contains(t, by[1], label[1], "%s: %s", where, target.Expr)
					}
				}
			}
		}
	}
}

// TestDashboardsShowEverything that the components report, under names that there are.
func TestDashboardsShowEverything(t *testing.T) {
	t.Parallel()
	shown := make(map[string]string)
	for _, board := range dashboards(t) {
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				for _, name := range regexp.MustCompile(`\botelcol_\w+`).FindAllString(target.Expr, -1) {
					shown[regexp.MustCompile(`_(?:bucket|sum|count)$`).ReplaceAllString(name, "")] = board.file + ", " + p.Title
				}
			}
		}
	}
	own := ownMetrics(t)
	for name, where := range shown {
		if !stockMetrics.MatchString(name) {
			assert.Contains(t, own, name, where)
		}
	}
	for _, name := range own {
		assert.Contains(t, shown, name, "on no dashboard")
	}
}
