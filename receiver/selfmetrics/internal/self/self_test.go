package self

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

func TestTheProcessIsRead(t *testing.T) {
	p := NewProcess()
	first := p.Read(t.Context())
	assert.Empty(t, first.Faults)
	for end := 0; end < 50_000_000; end++ { // something to have used the CPU for
		runtime.KeepAlive(end)
	}
	values := sourcetest.Values(t, p.Read(t.Context()))
	assert.Positive(t, values["process.memory.usage"])
	assert.Positive(t, values["process.unix.file_descriptor.count"])
	assert.Positive(t, values["process.thread.count"])
	assert.Positive(t, values["process.cpu.utilization"])
	assert.LessOrEqual(t, values["process.cpu.utilization"], 1.5, "a share of what the process may use")
	assert.Positive(t, values["otelcol.self.memory.utilization"])
	assert.Less(t, values["otelcol.self.memory.utilization"], 1.0)
}

func TestTheRuntimeIsRead(t *testing.T) {
	before := debug.SetMemoryLimit(3 << 30)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	g := NewRuntime()
	g.Read(t.Context())
	runtime.GC()
	values := sourcetest.Values(t, g.Read(t.Context()))
	assert.Positive(t, values["go.goroutine.count"])
	assert.EqualValues(t, 3<<30, values["go.memory.limit"])
	assert.Positive(t, values["go.memory.gc.cycles"])
	assert.Positive(t, values["otelcol.self.gc.pause{quantile=0.99}"], "there was a collection in between")
	values = sourcetest.Values(t, g.Read(t.Context()))
	assert.NotContains(t, values, "otelcol.self.gc.pause{quantile=0.5}", "and none since")
}

// fakeCgroups makes a /proc and a /sys for the test's own process.
func fakeCgroups(t *testing.T, membership string, files map[string]string) common.EnvMap {
	t.Helper()
	directory := t.TempDir()
	write := func(path, content string) {
		path = filepath.Join(directory, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	write("proc/1/cgroup", membership)
	require.NoError(t, os.Symlink("1", filepath.Join(directory, "proc/self")))
	for path, content := range files {
		write("sys/fs/cgroup/"+path, content)
	}
	return common.EnvMap{common.HostProcEnvKey: filepath.Join(directory, "proc"), common.HostSysEnvKey: filepath.Join(directory, "sys")}
}

func TestTheSmallestCPUQuotaOnTheWayToTheRootCounts(t *testing.T) {
	v2 := map[string]string{"cgroup.controllers": "cpu memory\n"}
	with := func(more map[string]string) map[string]string {
		for path, content := range v2 {
			more[path] = content
		}
		return more
	}
	for name, test := range map[string]struct {
		membership string
		files      map[string]string
		want       float64
	}{
		"version 2":           {"0::/a/b\n", with(map[string]string{"a/b/cpu.max": "150000 100000\n"}), 1.5},
		"version 2, above":    {"0::/a/b\n", with(map[string]string{"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}), 0.5},
		"version 2, no limit": {"0::/a\n", with(map[string]string{"a/cpu.max": "max 100000\n"}), 0},
		"version 2, no files": {"0::/gone\n", with(map[string]string{}), 0},
		"version 2, own root": {"0::/../host/path\n", with(map[string]string{"cpu.max": "200000 100000\n"}), 2},
		"version 1":           {"3:cpu,cpuacct:/a\n", map[string]string{"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 2.5},
		"version 1, above": {"3:cpu,cpuacct:/pod/a\n", map[string]string{
			"cpu/pod/a/cpu.cfs_quota_us": "-1\n", "cpu/pod/a/cpu.cfs_period_us": "100000\n", "cpu/pod/cpu.cfs_quota_us": "50000\n", "cpu/pod/cpu.cfs_period_us": "100000\n",
		}, 0.5},
		"version 1, own root":   {"3:cpu,cpuacct:/docker/host-path\n", map[string]string{"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3},
		"version 1, no limit":   {"3:cpu,cpuacct:/a\n", map[string]string{"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 0},
		"version 1, no cgroups": {"", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cpus, err := cpuQuota(fakeCgroups(t, test.membership, test.files))
			require.NoError(t, err)
			assert.InDelta(t, test.want, cpus, 1e-9)
		})
	}
}

func TestAGarbledCPUQuotaIsAnError(t *testing.T) {
	for _, content := range []string{"100000\n", "a b\n", "100000 0\n"} {
		_, err := cpuQuota(fakeCgroups(t, "0::/\n", map[string]string{"cgroup.controllers": "cpu", "cpu.max": content}))
		assert.ErrorContains(t, err, "cpu.max", content)
	}
	_, err := cpuQuota(common.EnvMap{common.HostProcEnvKey: filepath.Join(t.TempDir(), "none")})
	assert.Error(t, err)
}
