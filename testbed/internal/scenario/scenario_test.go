package scenario

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/otlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

// folder writes files and returns where.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

const minimal = "description: d\nsuites: [s]\n"

func TestAScenarioChangesTheDefaults(t *testing.T) {
	all, err := Load(folder(t, map[string]string{"one.yaml": minimal + "signal: logs\nload: {mode: open, rate: 5, clients: 3, connections: 2, duration: 3s}\n"}))
	require.NoError(t, err)
	want := Default()
	want.Name, want.Description, want.Suites, want.Signal = "one", "d", []string{"s"}, "logs"
	want.Load.Mode, want.Load.Rate, want.Load.Clients, want.Load.Connections, want.Load.Duration = "open", 5, 3, 2, 3*time.Second
	assert.Equal(t, []Scenario{want}, all)
}

func TestEveryFaultOfEveryFileIsReported(t *testing.T) {
	_, err := Load(folder(t, map[string]string{
		"bad.yaml": "rounds: 0\nprotocol: pigeon\nsignal: smoke\nitems_per_request: 0\ncompression: br\ncontenders: []\ndrain: -1s\ndisk_mib: -1\nkills: -1\n" +
			"load: {mode: x, pattern: {kind: step}}\nbackend: [{capacity: -1}]\nnetwork: [{delay: -1s}]\nevents: [{at: -1s, action: explode}]\nmatrix: {items_per_request: [0, 0]}\n",
		"empty.yaml": "",
		"kill.yaml":  minimal + "load: {duration: 3s}\nkills: 4\n",
		"both.yaml":  minimal + "kills: 4\nevents: [{at: 1s, action: kill}]\n",
		"key.yaml":   minimal + "limit: {p99: 1s}\n",
		"limit.yaml": minimal + "load: {duration: 3s}\nevents: [{at: 3s, action: reload}]\n" +
			"limits: {duplicates: -1, acknowledged_ratio: 1.5, cpu_ratio: -0.5, rss_mib: .nan}\n",
		"endless.yaml": minimal + "load: {mode: open, rate: 1000000, duration: 1h}\n",
		"late.yaml":    minimal + "load: {duration: 2s}\nbackend: [{at: 2s}]\nnetwork: [{}, {at: 7s}]\n",
		"good.yaml":    minimal,
	}))
	for _, message := range []string{
		"bad.yaml", "`description` must say", "`suites` must name", "`contenders` must name", "`rounds` must be between 1 and 100, found 0",
		"`protocol` must be grpc or http, found \"pigeon\"", "`signal` must be one of", "`items_per_request` must be between", "found \"br\"",
		"`compression`: must be one of [none gzip zstd snappy], found \"br\"", "`load`: `pattern.to` must be positive, found 0",
		"empty.yaml: the file is empty", "`drain` must not", "`disk_mib` must not", "`load`: `mode`", "`backend[0]`: `capacity`", "`network[0]`: `delay`",
		"`events[0].action` must be kill, restart or reload, found \"explode\"", "`events[0].at`", "key.yaml",
		"`kills` must not be negative, found -1", "at least a second for each of the `kills`, found 3s for 4", "`kills` and `events` exclude", "field limit not found",
		"`events[0].at` must be within `load.duration` (3s), found 3s", "`load.duration`: 1h0m0s at this rate are 3.6e+09 items, and at most 1073741824", "`limits.duplicates` must not be negative, found -1",
		"`limits.acknowledged_ratio` must be at most 1, found 1.5", "`limits.cpu_ratio` must not be negative, found -0.5",
		"`limits.rss_mib` must not be negative, found NaN", "late.yaml: `backend[0].at` must be within `load.duration` (2s), found 2s",
		"`network[1].at` must be within `load.duration` (2s), found 7s",
	} {
		require.ErrorContains(t, err, message)
	}
	assert.NotContains(t, err.Error(), "good.yaml")
}

func TestAFolderWithoutScenariosIsAnError(t *testing.T) {
	_, err := Load(t.TempDir())
	require.ErrorContains(t, err, "no scenario")
	_, err = Load("[")
	require.Error(t, err)
}

func TestAMatrixMakesACaseOfEveryCombination(t *testing.T) {
	s := Default()
	s.Name = "m"
	assert.Len(t, s.Cases(), 1)
	assert.Equal(t, "m", s.Cases()[0].ID)
	s.Matrix = Matrix{
		Signals: []payload.Signal{"traces", "logs"}, Protocols: []string{"http"}, ItemsPerRequest: []int{1, 10}, Clients: []int{2},
		Compressions: []otlp.Compression{"gzip"}, ClientCompressions: []otlp.Compression{"zstd"},
	}
	var ids []string
	for _, c := range s.Cases() {
		ids = append(ids, c.ID)
		assert.Equal(t, 2, c.Load.Clients)
		assert.Equal(t, 2, c.Load.Connections, "there cannot be more connections than clients")
	}
	assert.Equal(t, []string{
		"m/traces/http/items=1/clients=2/gzip/from=zstd", "m/traces/http/items=10/clients=2/gzip/from=zstd",
		"m/logs/http/items=1/clients=2/gzip/from=zstd", "m/logs/http/items=10/clients=2/gzip/from=zstd",
	}, ids)
}

func TestNamesAndSuitesSelect(t *testing.T) {
	all := []Scenario{{Name: "a", Suites: []string{"x"}}, {Name: "b", Suites: []string{"x", "y"}}, {Name: "c", Suites: []string{"y"}}}
	selected, err := Select(all, []string{"a", "y"})
	require.NoError(t, err)
	assert.Len(t, selected, 3)
	selected, err = Select(all, []string{"x"})
	require.NoError(t, err)
	assert.Equal(t, all[:2], selected)
	_, err = Select(all, []string{"z"})
	require.ErrorContains(t, err, `no scenario and no suite is called "z"`)
	assert.Equal(t, []string{"x", "y"}, SuitesOf(all))
}

func TestContendersAreReadAndResolved(t *testing.T) {
	dir := folder(t, map[string]string{"c.yaml": `
none: {title: n, durability: d}
shell: {title: s, durability: d, binary: my-shell, args: ["{config}"], config: conf}
gone: {title: g, durability: d, binary: no-such-program, config: conf}
`, "conf": ""})
	all, err := Contenders(filepath.Join(dir, "c.yaml"))
	require.NoError(t, err)
	found, missing, err := Resolve([]string{"shell", "none", "gone"}, all, map[string]string{"my-shell": "/bin/sh"})
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Len(t, missing, 1)
	assert.Equal(t, "gone", missing[0].Name)
	require.ErrorContains(t, missing[0].Reason, "contender gone")
	command, err := found[0].Command(map[string]string{"my-shell": "/bin/sh"})
	require.NoError(t, err)
	assert.Equal(t, []string{"/bin/sh", "{config}"}, command)
	assert.Equal(t, filepath.Join(dir, "conf"), found[0].Config)
	_, _, err = Resolve([]string{"who"}, all, nil)
	require.ErrorContains(t, err, `no contender is called "who"; there are gone, none, shell`)
}

func TestContendersFaultsAreReported(t *testing.T) {
	dir := folder(t, map[string]string{"c.yaml": "a: {binary: sh, config: nowhere}\n", "broken.yaml": "a: {colour: red}\n"})
	_, err := Contenders(filepath.Join(dir, "c.yaml"))
	require.ErrorContains(t, err, "`a` needs a `title` and a `durability`")
	require.ErrorContains(t, err, "`a.config`")
	_, err = Contenders(filepath.Join(dir, "broken.yaml"))
	require.ErrorContains(t, err, "colour")
	_, err = Contenders(filepath.Join(dir, "absent.yaml"))
	require.Error(t, err)
}

// Every key is described, and nothing that is none.
func TestEveryKeyIsDescribed(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "scenarios", "README.md"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(content), "## The scenario")
	require.True(t, found)
	keys := map[string]bool{}
	yamlKeys(reflect.TypeFor[Scenario](), keys)
	for key := range keys {
		assert.Contains(t, text, "`"+key+"`")
	}
	// What stands in the first column of a table is a key.
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`"+`[^|]*) \|`).FindAllStringSubmatch(text, -1) {
		for key := range strings.SplitSeq(row[1], ", ") {
			assert.True(t, keys[strings.Trim(key, "`")], "%s is no key", key)
		}
	}
}

func yamlKeys(of reflect.Type, into map[string]bool) {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return
	}
	for i := range of.NumField() {
		if key := of.Field(i).Tag.Get("yaml"); key != "-" {
			into[key] = true
			yamlKeys(of.Field(i).Type, into)
		}
	}
}

func TestWhatShipsIsValid(t *testing.T) {
	all, err := Load(filepath.Join("..", "..", "scenarios"))
	require.NoError(t, err)
	contenders, err := Contenders(filepath.Join("..", "..", "peers", "contenders.yaml"))
	require.NoError(t, err)
	for _, name := range []string{"contenders-optimizations.yaml", "contenders-batching.yaml", "contenders-builds.yaml", "contenders-headroom.yaml"} {
		_, err = Contenders(filepath.Join("..", "..", "peers", name))
		require.NoError(t, err)
	}
	var short time.Duration
	for i := range all {
		_, _, err := Resolve(all[i].Contenders, contenders, nil)
		require.NoError(t, err, all[i].Name)
		for _, c := range all[i].Cases() {
			if all[i].matches("short") {
				short += time.Duration(c.Rounds*len(c.Contenders)) * (c.Load.Warmup + c.Load.Duration)
			}
		}
	}
	assert.Less(t, short, 4*time.Minute, "the short suite has five minutes, starts and drains included")
}

// What bounds memory or latency alone is kept by a Collector that delivers nothing.
func TestWhatShipsBoundsWhatIsDelivered(t *testing.T) {
	all, err := Load(filepath.Join("..", "..", "scenarios"))
	require.NoError(t, err)
	for i := range all {
		if l := all[i].Limits; !all[i].matches("comparison") && !all[i].matches("pairs") {
			assert.Positive(t, l.AcknowledgedRatio+l.Throughput+l.CPURatio, all[i].Name)
		}
	}
}
