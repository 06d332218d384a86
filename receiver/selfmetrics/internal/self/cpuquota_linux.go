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

// cpuQuota returns how many CPUs the cgroups of this process let it use, and zero where they do not limit it. The smallest
// quota on the way from our group to the root counts.
//
// gopsutil reads what cgroups used, not what they may use; the Go runtime reads the quota but rounds it.
// The files are documented in https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files and
// https://docs.kernel.org/scheduler/sched-bwc.html#management.
func cpuQuota(environment common.EnvMap) (cpus float64, err error) {
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
	read := quotaV1
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		read = quotaV2
	} else {
		root = filepath.Join(root, "cpu")
	}
	group := ""
	for _, g := range groups {
		if slices.Contains(g.Controllers, "cpu") || len(g.Controllers) == 0 && group == "" {
			group = g.Path
		}
	}
	for {
		quota, err := read(filepath.Join(root, group))
		switch {
		case err != nil && !isMissing(err):
			return 0, err
		case err == nil && quota > 0 && (cpus == 0 || quota < cpus):
			cpus = quota
		}
		if group == "" || group == "/" || group == "." {
			return cpus, nil
		}
		// A container that sees its own group as the root still reads the path of the host, which does not exist here.
		group = filepath.Dir(group)
	}
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
