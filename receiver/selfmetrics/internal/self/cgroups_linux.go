package self

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"github.com/shirou/gopsutil/v4/common"
)

// cpuQuota returns how many CPUs the cgroups of this process let it use, and zero where they do not limit it.
//
// gopsutil reads what cgroups used, not what they may use; the Go runtime reads the quota but rounds it.
// The files are documented in https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files and
// https://docs.kernel.org/scheduler/sched-bwc.html#management.
func cpuQuota(environment common.EnvMap) (cpus float64, err error) {
	return smallestLimit(environment, "cpu", quotaV1, quotaV2)
}

// memoryLimitV2 returns the smallest limit in bytes that the cgroups of this process set in version 2, and zero without one.
// gopsutil reads that of our own group; a Kubernetes pod's is set one above.
func memoryLimitV2(environment common.EnvMap) (uint64, error) {
	limit, err := smallestLimit(environment, "memory", func(string) (float64, error) { return 0, nil }, maxV2)
	return uint64(limit), err
}

// smallestLimit returns the smallest limit on the way from our group to the root, and zero where there is none. The limits are
// read from a group's directory; zero is none.
func smallestLimit(environment common.EnvMap, controller string, readV1, readV2 func(directory string) (float64, error),
) (smallest float64, err error) {
	proc, err := procfs.NewFS(environment[common.HostProcEnvKey])
	if err != nil {
		return 0, err
	}
	self, err := proc.Self()
	if err != nil {
		return 0, err
	}
	groups, err := self.Cgroups()
	if err != nil {
		return 0, ignoreMissing(err)
	}
	root := filepath.Join(environment[common.HostSysEnvKey], "fs", "cgroup")
	read := readV1
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		read = readV2
	} else {
		root = filepath.Join(root, controller)
	}
	group := ""
	for _, g := range groups {
		if slices.Contains(g.Controllers, controller) || len(g.Controllers) == 0 && group == "" {
			group = g.Path
		}
	}
	for {
		limit, err := read(filepath.Join(root, group))
		switch {
		case err != nil && !isMissing(err):
			return 0, err
		case err == nil && limit > 0 && (smallest == 0 || limit < smallest):
			smallest = limit
		}
		if group == "" || group == "/" || group == "." {
			return smallest, nil
		}
		// A container that sees its own group as the root still reads the path of the host, which does not exist here.
		group = filepath.Dir(group)
	}
}

// maxV2 reads memory.max, in bytes; "max" is no limit.
func maxV2(directory string) (float64, error) {
	file := filepath.Join(directory, "memory.max")
	content, err := os.ReadFile(file) //nolint:gosec // a path made of the kernel's own
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(content))
	if text == "max" {
		return 0, nil
	}
	limit, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: want bytes or max, found %q", file, content)
	}
	return float64(limit), nil
}

// quotaV2 reads "<quota> <period>" in microseconds; a quota of "max" is none.
func quotaV2(directory string) (float64, error) {
	file := filepath.Join(directory, "cpu.max")
	content, err := os.ReadFile(file) //nolint:gosec // a path made of the kernel's own
	if err != nil {
		return 0, err
	}
	quota, period, found := strings.Cut(strings.TrimSpace(string(content)), " ")
	if quota == "max" {
		return 0, nil
	}
	if !found {
		return 0, fmt.Errorf("%s: want a quota and a period, found %q", file, content)
	}
	return divide(file, quota, period)
}

// quotaV1 reads quota and period, in microseconds, from a file each; a quota of -1 is none.
func quotaV1(directory string) (float64, error) {
	file := filepath.Join(directory, "cpu.cfs_quota_us")
	quota, err := os.ReadFile(file) //nolint:gosec // a path made of the kernel's own
	if err != nil {
		return 0, err
	}
	period, err := os.ReadFile(filepath.Join(directory, "cpu.cfs_period_us")) //nolint:gosec // a path made of the kernel's own
	if err != nil {
		return 0, err
	}
	return divide(file, strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

func divide(file, quota, period string) (float64, error) {
	q, errQuota := strconv.ParseInt(quota, 10, 64)
	p, errPeriod := strconv.ParseInt(period, 10, 64)
	if err := errors.Join(errQuota, errPeriod); err != nil || p <= 0 {
		return 0, fmt.Errorf("%s: want microseconds, found quota %q and period %q", file, quota, period)
	}
	if q <= 0 {
		return 0, nil
	}
	return float64(q) / float64(p), nil
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "no cgroup entry")
}
