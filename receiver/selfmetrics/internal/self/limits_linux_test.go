package self

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

const (
	unlimitedV1 = "9223372036854771712\n" // what the kernel says where there is no limit
	statV1      = "cache 0\nhierarchical_memory_limit "
)

// memoryFiles are the files of the cgroup /a in version 1, with its limit and that of the groups above.
func memoryFiles(limit, above string) map[string]string {
	return map[string]string{
		"memory/a/memory.stat": statV1 + above, "memory/a/memory.limit_in_bytes": limit, "memory/a/memory.usage_in_bytes": "1\n",
		"memory/a/memory.max_usage_in_bytes": "1\n", "memory/a/memory.failcnt": "0\n",
	}
}

// memoryFilesV2 are the same of /pod/a in version 2, where each group has a file of its own.
func memoryFilesV2(limit, above string) map[string]string {
	return map[string]string{
		"cgroup.controllers": "cpu memory\n", "pod/memory.max": above, "pod/a/memory.stat": "anon 0\nfile 0\n", "pod/a/memory.max": limit, "pod/a/memory.current": "1\n",
		"pod/a/memory.peak": "1\n", "pod/a/memory.events": "max 0\n",
	}
}

func TestTheMemoryLimitIsThatOfTheCgroup(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		membership string
		files      map[string]string
		want       float64 // zero: none
	}{
		"version 1":           {"4:memory:/a\n", memoryFiles("104857600\n", "104857600\n"), 100 * mib},
		"version 1, above":    {"4:memory:/a\n", memoryFiles(unlimitedV1, "52428800\n"), 50 * mib},
		"version 1, no limit": {"4:memory:/a\n", memoryFiles(unlimitedV1, unlimitedV1), 0},
		"version 1, own root": {"4:memory:/docker/host-path\n", map[string]string{
			"memory/memory.stat": statV1 + "104857600\n", "memory/memory.limit_in_bytes": "104857600\n", "memory/memory.usage_in_bytes": "1\n",
			"memory/memory.max_usage_in_bytes": "1\n", "memory/memory.failcnt": "0\n",
		}, 100 * mib},
		"version 2, own root": {"0::/\n", map[string]string{
			"cgroup.controllers": "cpu memory\n", "memory.stat": "anon 0\nfile 0\n", "memory.max": "209715200\n", "memory.current": "1\n",
			"memory.peak": "1\n", "memory.events": "max 0\n",
		}, 200 * mib},
		"version 2, three above": {"0::/pod/b/c/a\n", map[string]string{"cgroup.controllers": "cpu memory\n", "pod/memory.max": "52428800\n", "pod/b/c/memory.max": "max\n"}, 50 * mib},
		"version 2":              {"0::/pod/a\n", memoryFilesV2("209715200\n", "max\n"), 200 * mib},
		"version 2, above":       {"0::/pod/a\n", memoryFilesV2("max\n", "52428800\n"), 50 * mib},
		"version 2, both":        {"0::/pod/a\n", memoryFilesV2("104857600\n", "209715200\n"), 100 * mib},
		"version 2, no limit":    {"0::/pod/a\n", memoryFilesV2("max\n", "max\n"), 0},
		"version 2, no files":    {"0::/gone\n", map[string]string{"cgroup.controllers": "cpu\n"}, 0},
		"no such controller":     {"3:cpu,cpuacct:/a\n", nil, 0},
		"no cgroups":             {"", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			// The cgroups are faked, the process and the host are not.
			environment := fakeCgroups(t, test.membership, test.files)
			ctx := context.WithValue(t.Context(), common.EnvKey, environment)
			limit, err := cgroupMemoryLimit(ctx, environment)
			require.NoError(t, err)
			if test.want == 0 {
				assert.True(t, limit == 0 || limit > 1<<62, "no limit, found %d", limit)
				return
			}
			assert.InDelta(t, test.want, float64(limit), 0)
		})
	}
}

func TestAGarbledMemoryLimitIsAnError(t *testing.T) {
	environment := fakeCgroups(t, "0::/pod/a\n", memoryFilesV2("max\n", "a lot\n"))
	_, err := cgroupMemoryLimit(context.WithValue(t.Context(), common.EnvKey, environment), environment)
	require.ErrorContains(t, err, `memory.max: want bytes or max, found "a lot\n"`)
}

func TestWhatIsKnownWithoutProcIsStillTold(t *testing.T) {
	p := NewProcess()
	p.environment = common.EnvMap{common.HostProcEnvKey: filepath.Join(t.TempDir(), "none")}
	reading := p.Read(t.Context())
	var parts []string
	for _, fault := range reading.Faults {
		parts = append(parts, fault.Part)
		assert.Positive(t, fault.Metrics, fault.Part)
		assert.Error(t, fault.Err, fault.Part)
	}
	assert.Equal(t, []string{"CPU quota", "CPU time", "host memory", "cgroup memory limit", "memory", "threads", "open files", "disk I/O", "start time"}, parts)
	values := sourcetest.Values(t, reading)
	assert.EqualValues(t, runtime.GOMAXPROCS(0), values["otelcol.self.cpu.limit"])
	assert.NotContains(t, values, "process.memory.usage", "absent, not 0")
	assert.NotContains(t, values, "otelcol.self.memory.utilization", "absent, not 0")
}
