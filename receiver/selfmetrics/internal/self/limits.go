package self

import (
	"context"
	"errors"
	"math"
	"runtime/debug"

	"github.com/shirou/gopsutil/v4/docker"
)

// cgroupMemoryLimit returns the limit of our own cgroup in bytes, and zero where there is none to be found. Version 1 also
// tells the limits of the groups above; in version 2 those of a container are its own as seen from inside.
func cgroupMemoryLimit(ctx context.Context) (uint64, error) {
	stat, err := docker.CgroupMemOwnWithContext(ctx)
	if err != nil {
		return 0, ignoreMissing(err)
	}
	limit := stat.MemLimitInBytes
	if above := stat.HierarchicalMemoryLimit; above > 0 && (limit == 0 || above < limit) {
		limit = above
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
