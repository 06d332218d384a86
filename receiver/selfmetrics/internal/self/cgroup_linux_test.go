package self

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const inCgroup = "SELFMETRICS_TEST_IN_CGROUP"

// TestTheLimitsOfARealCgroup runs this test again in a group whose parent has limits. It needs to be allowed to make one.
func TestTheLimitsOfARealCgroup(t *testing.T) {
	if os.Getenv(inCgroup) != "" {
		ctx := context.WithValue(t.Context(), common.EnvKey, ownEnvironment)
		memory, err := cgroupMemoryLimit(ctx, ownEnvironment)
		require.NoError(t, err)
		cpus, err := cpuQuota(ownEnvironment)
		require.NoError(t, err)
		fmt.Printf("found %d bytes and %v CPUs\n", memory, cpus)
		return
	}
	const root = "/sys/fs/cgroup"
	limits := map[string][2]string{"memory": {"memory.limit_in_bytes", "268435456"}, "cpu": {"cpu.cfs_quota_us", "150000"}}
	directories := []string{root + "/memory", root + "/cpu"}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil { // version 2
		limits = map[string][2]string{"memory": {"memory.max", "268435456"}, "cpu": {"cpu.max", "150000 100000"}}
		directories = []string{root}
	}
	var join []string
	for _, directory := range directories {
		parent := filepath.Join(directory, fmt.Sprintf("selfmetrics-test-%d", os.Getpid()))
		child := filepath.Join(parent, "child")
		if err := os.MkdirAll(child, 0o700); err != nil {
			t.Skipf("not allowed to make a cgroup: %v", err)
		}
		t.Cleanup(func() {
			assert.NoError(t, os.Remove(child))
			assert.NoError(t, os.Remove(parent))
		})
		for controller, limit := range limits {
			if len(directories) > 1 && filepath.Base(directory) != controller {
				continue
			}
			if err := os.WriteFile(filepath.Join(parent, limit[0]), []byte(limit[1]), 0o600); err != nil {
				t.Skipf("not allowed to limit a cgroup: %v", err)
			}
		}
		join = append(join, fmt.Sprintf("echo $$ > %s/cgroup.procs", child))
	}
	join = append(join, `exec "$0" -test.run '^TestTheLimitsOfARealCgroup$'`)
	command := exec.CommandContext(t.Context(), "sh", "-c", strings.Join(join, " && "), os.Args[0]) //nolint:gosec // this test
	command.Env = append(os.Environ(), inCgroup+"=1")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "found 268435456 bytes and 1.5 CPUs")
}
