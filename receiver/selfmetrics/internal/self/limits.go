package self

import (
	"context"
	"errors"
	"math"
	"runtime/debug"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/docker"
)

// cgroupMemoryLimit returns the smallest limit of our own cgroup and those above it, in bytes, and zero where there is none to
// be found.
func cgroupMemoryLimit(ctx context.Context, environment common.EnvMap) (uint64, error) {
	above, err := memoryLimitV2(environment)
	if err != nil {
		return 0, err
	}
	stat, err := docker.CgroupMemOwnWithContext(ctx)
	if err != nil {
		return above, ignoreMissing(err)
	}
	limit := stat.MemLimitInBytes
	for _, l := range []uint64{stat.HierarchicalMemoryLimit, above} { // the first is version 1's
		if l > 0 && (limit == 0 || l < limit) {
			limit = l
		}
	}
	return limit, nil
}

// goMemoryLimit returns GOMEMLIMIT in bytes, and zero where there is none.
func goMemoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// ignoreMissing drops the errors that say that there are no cgroups here, or no such controller.
func ignoreMissing(err error) error {
	if errors.Is(err, docker.ErrCgroupNotAvailable) || isMissing(err) {
		return nil
	}
	return err
}
