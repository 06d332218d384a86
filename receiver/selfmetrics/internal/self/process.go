// Package self reads the process the Collector runs in: what the operating system says of it, what the Go runtime says,
// and which limits it lives under.
package self

import (
	"context"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
)

// ownEnvironment makes gopsutil read this process's own /proc and /sys. Where a container monitors its host, HOST_PROC
// points to the host's /proc, in which our process ID is somebody else's.
var ownEnvironment = common.EnvMap{common.HostProcEnvKey: "/proc", common.HostSysEnvKey: "/sys"}

// Process reads what the operating system says of this process.
type Process struct {
	pid         int32
	environment common.EnvMap
	now         func() time.Time

	previous     time.Time // of the last reading of the CPU time; zero before it
	previousTime float64   // CPU seconds
}

// NewProcess returns the source for this process.
func NewProcess() *Process {
	return &Process{pid: int32(os.Getpid()), environment: ownEnvironment, now: time.Now} //nolint:gosec // process IDs fit
}

// Read implements source.Source.
func (p *Process) Read(ctx context.Context) (r source.Reading) {
	ctx = context.WithValue(ctx, common.EnvKey, p.environment)
	proc, err := process.NewProcessWithContext(ctx, p.pid)
	if !r.Check("process", 12, err) {
		return r
	}
	p.readCPU(ctx, proc, &r)
	p.readMemory(ctx, proc, &r)
	if threads, err := proc.NumThreadsWithContext(ctx); r.Check("threads", 1, err) {
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordProcessThreadCountDataPoint(now, int64(threads))
		})
	}
	if files, err := proc.NumFDsWithContext(ctx); r.Check("open files", 1, err) {
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordProcessUnixFileDescriptorCountDataPoint(now, int64(files))
		})
	}
	if io, err := proc.IOCountersWithContext(ctx); r.Check("disk I/O", 1, err) {
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordProcessDiskIoDataPoint(now, source.Signed(io.DiskReadBytes), metadata.AttributeDiskIoDirectionRead)
			mb.RecordProcessDiskIoDataPoint(now, source.Signed(io.DiskWriteBytes), metadata.AttributeDiskIoDirectionWrite)
		})
	}
	if created, err := proc.CreateTimeWithContext(ctx); r.Check("start time", 1, err) {
		started := time.UnixMilli(created)
		r.Start = pcommon.NewTimestampFromTime(started)
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordProcessUptimeDataPoint(now, now.AsTime().Sub(started).Seconds())
		})
	}
	return r
}

func (p *Process) readCPU(ctx context.Context, proc *process.Process, r *source.Reading) {
	limit := float64(runtime.GOMAXPROCS(0))
	// GOMAXPROCS follows the quota, but it is an integer of at least 2.
	if quota, err := cpuQuota(p.environment); r.Check("CPU quota", 1, err) && quota > 0 {
		limit = min(limit, quota)
	}
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		mb.RecordOtelcolSelfCPULimitDataPoint(now, limit)
	})
	times, err := proc.TimesWithContext(ctx)
	if !r.Check("CPU time", 2, err) {
		return
	}
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		mb.RecordProcessCPUTimeDataPoint(now, times.User, metadata.AttributeCPUModeUser)
		mb.RecordProcessCPUTimeDataPoint(now, times.System, metadata.AttributeCPUModeSystem)
	})
	if utilization, ok := p.cpuUtilization(times.User+times.System, limit); ok {
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordProcessCPUUtilizationDataPoint(now, utilization)
		})
	}
}

// cpuUtilization returns the share of limit CPUs that was used since the last call.
func (p *Process) cpuUtilization(total, limit float64) (share float64, ok bool) {
	now := p.now()
	elapsed := now.Sub(p.previous).Seconds()
	used := total - p.previousTime
	ok = !p.previous.IsZero() && elapsed > 0 && used >= 0
	p.previous, p.previousTime = now, total
	// CPU time comes in ticks of 10 ms, so that over a short time it may be more than was to be had.
	return min(1, used/elapsed/limit), ok
}

func (p *Process) readMemory(ctx context.Context, proc *process.Process, r *source.Reading) {
	limits := make(map[metadata.AttributeLimitSource]int64)
	total := int64(math.MaxInt64)
	if host, err := mem.VirtualMemoryWithContext(ctx); r.Check("host memory", 1, err) {
		total = source.Signed(host.Total)
		limits[metadata.AttributeLimitSourceHost] = total
	}
	// Where a cgroup has no limit, version 1 says "nearly 2^63", and version 2 the largest number there is.
	if limit, err := cgroupMemoryLimit(ctx, p.environment); r.Check("cgroup memory limit", 1, err) && limit > 0 && source.Signed(limit) < total {
		limits[metadata.AttributeLimitSourceCgroup] = source.Signed(limit)
	}
	if limit := goMemoryLimit(); limit > 0 {
		limits[metadata.AttributeLimitSourceGomemlimit] = limit
	}
	effective := int64(math.MaxInt64)
	for _, limit := range limits {
		effective = min(effective, limit)
	}
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		for by, limit := range limits {
			mb.RecordOtelcolSelfMemoryLimitDataPoint(now, limit, by)
		}
	})
	if info, err := proc.MemoryInfoWithContext(ctx); r.Check("memory", 3, err) {
		rss := source.Signed(info.RSS)
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordProcessMemoryUsageDataPoint(now, rss)
			mb.RecordProcessMemoryVirtualDataPoint(now, source.Signed(info.VMS))
			if len(limits) > 0 {
				mb.RecordOtelcolSelfMemoryUtilizationDataPoint(now, float64(rss)/float64(effective))
			}
		})
	}
}
