// Package host reads the machine the Collector runs on. It honours gopsutil's HOST_PROC, HOST_SYS and HOST_ROOT, with which
// a container looks at its host.
package host

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
)

// maxDevices bounds the disks, file systems and network interfaces reported, each in the order of their names: a node with
// hundreds of containers has an interface for each.
const maxDevices = 64

// Source reads the host.
type Source struct {
	bootTime pcommon.Timestamp
	previous *cpu.TimesStat
}

// New returns the source for this host.
func New() *Source { return &Source{} }

// Read implements source.Source. A file system that does not answer blocks it, whatever ctx says.
func (s *Source) Read(ctx context.Context) (r source.Reading) {
	if s.bootTime == 0 {
		if seconds, err := host.BootTimeWithContext(ctx); r.Check("boot time", 0, err) {
			s.bootTime = pcommon.Timestamp(seconds * 1e9)
		}
	}
	r.Start = s.bootTime
	s.readCPU(ctx, &r)
	readLoad(ctx, &r)
	readMemory(ctx, &r)
	readDisks(ctx, &r)
	readFilesystems(ctx, &r)
	readNetwork(ctx, &r)
	return r
}

// modes are the modes of the CPU that are reported, and how to find them. Guest time is part of user time.
var modes = map[metadata.AttributeCPUMode]func(cpu.TimesStat) float64{
	metadata.AttributeCPUModeUser:      func(t cpu.TimesStat) float64 { return t.User },
	metadata.AttributeCPUModeSystem:    func(t cpu.TimesStat) float64 { return t.System },
	metadata.AttributeCPUModeIdle:      func(t cpu.TimesStat) float64 { return t.Idle },
	metadata.AttributeCPUModeIowait:    func(t cpu.TimesStat) float64 { return t.Iowait },
	metadata.AttributeCPUModeNice:      func(t cpu.TimesStat) float64 { return t.Nice },
	metadata.AttributeCPUModeInterrupt: func(t cpu.TimesStat) float64 { return t.Irq },
	metadata.AttributeCPUModeSoftirq:   func(t cpu.TimesStat) float64 { return t.Softirq },
	metadata.AttributeCPUModeSteal:     func(t cpu.TimesStat) float64 { return t.Steal },
}

func (s *Source) readCPU(ctx context.Context, r *source.Reading) {
	if count, err := cpu.CountsWithContext(ctx, true); r.Check("CPU count", 1, err) {
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
			mb.RecordSystemCPULogicalCountDataPoint(now, int64(count))
		})
	}
	all, err := cpu.TimesWithContext(ctx, false)
	if !r.Check("CPU time", 2, err) || len(all) == 0 {
		return
	}
	times := all[0]
	shares := utilization(s.previous, &times)
	s.previous = &times
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		for mode, of := range modes {
			mb.RecordSystemCPUTimeDataPoint(now, of(times), mode)
		}
		for mode, share := range shares {
			mb.RecordSystemCPUUtilizationDataPoint(now, share, mode)
		}
	})
}

// utilization returns the share of each mode in the time that passed on all CPUs, and nothing without a reading before, or
// with no time between. A mode that ran backwards (iowait may) counts as zero.
func utilization(before, after *cpu.TimesStat) map[metadata.AttributeCPUMode]float64 {
	if before == nil {
		return nil
	}
	total := 0.0
	shares := make(map[metadata.AttributeCPUMode]float64, len(modes))
	for mode, of := range modes {
		shares[mode] = max(0, of(*after)-of(*before))
		total += shares[mode]
	}
	if total <= 0 {
		return nil
	}
	for mode := range shares {
		shares[mode] /= total
	}
	return shares
}

func readLoad(ctx context.Context, r *source.Reading) {
	averages, err := load.AvgWithContext(ctx)
	if !r.Check("load", 3, err) {
		return
	}
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		mb.RecordSystemCPULoadAverage1mDataPoint(now, averages.Load1)
		mb.RecordSystemCPULoadAverage5mDataPoint(now, averages.Load5)
		mb.RecordSystemCPULoadAverage15mDataPoint(now, averages.Load15)
	})
}

func readMemory(ctx context.Context, r *source.Reading) {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if !r.Check("memory", 4, err) {
		return
	}
	states := map[metadata.AttributeSystemMemoryState]uint64{
		metadata.AttributeSystemMemoryStateUsed:    memory.Used,
		metadata.AttributeSystemMemoryStateFree:    memory.Free,
		metadata.AttributeSystemMemoryStateCached:  memory.Cached,
		metadata.AttributeSystemMemoryStateBuffers: memory.Buffers,
	}
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		mb.RecordSystemMemoryLimitDataPoint(now, source.Signed(memory.Total))
		mb.RecordSystemMemoryLinuxAvailableDataPoint(now, source.Signed(memory.Available))
		for state, bytes := range states {
			mb.RecordSystemMemoryUsageDataPoint(now, source.Signed(bytes), state)
			if memory.Total > 0 {
				mb.RecordSystemMemoryUtilizationDataPoint(now, float64(bytes)/float64(memory.Total), state)
			}
		}
	})
}

// firstNames returns the names that come first in their order, at most maxDevices.
func firstNames[V any](byName map[string]V) []string {
	names := slices.Sorted(maps.Keys(byName))
	return names[:min(len(names), maxDevices)]
}

func readDisks(ctx context.Context, r *source.Reading) {
	counters, err := disk.IOCountersWithContext(ctx)
	if !r.Check("disk I/O", 2, err) {
		return
	}
	const read, write = metadata.AttributeDiskIoDirectionRead, metadata.AttributeDiskIoDirectionWrite
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		for _, name := range firstNames(counters) {
			c := counters[name]
			mb.RecordSystemDiskIoDataPoint(now, source.Signed(c.ReadBytes), name, read)
			mb.RecordSystemDiskIoDataPoint(now, source.Signed(c.WriteBytes), name, write)
			mb.RecordSystemDiskOperationsDataPoint(now, source.Signed(c.ReadCount), name, read)
			mb.RecordSystemDiskOperationsDataPoint(now, source.Signed(c.WriteCount), name, write)
		}
	})
}

// readFilesystems reports each device once, where it is mounted first, and the root, which in a container is on no device.
func readFilesystems(ctx context.Context, r *source.Reading) {
	partitions, err := disk.PartitionsWithContext(ctx, false)
	if !r.Check("file systems", 2, err) {
		return
	}
	byDevice := make(map[string]disk.PartitionStat)
	rooted := false
	for _, p := range partitions {
		if _, known := byDevice[p.Device]; !known {
			byDevice[p.Device] = p
			rooted = rooted || p.Mountpoint == rootDirectory
		}
	}
	if !rooted {
		byDevice[""] = disk.PartitionStat{Mountpoint: rootDirectory}
	}
	for _, device := range firstNames(byDevice) {
		p := byDevice[device]
		usage, err := disk.UsageWithContext(ctx, p.Mountpoint)
		if !r.Check("file system "+p.Mountpoint, 2, err) || usage.Total == 0 {
			continue
		}
		if device == "" {
			p.Device = filepath.Base(usage.Fstype)
		}
		r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) { recordFilesystem(mb, now, p.Device, usage) })
	}
}

const rootDirectory = string(filepath.Separator)

func recordFilesystem(mb *metadata.MetricsBuilder, now pcommon.Timestamp, device string, usage *disk.UsageStat) {
	reserved := source.Signed(usage.Total) - source.Signed(usage.Used) - source.Signed(usage.Free)
	for state, bytes := range map[metadata.AttributeSystemFilesystemState]int64{
		metadata.AttributeSystemFilesystemStateUsed:     source.Signed(usage.Used),
		metadata.AttributeSystemFilesystemStateFree:     source.Signed(usage.Free),
		metadata.AttributeSystemFilesystemStateReserved: max(0, reserved),
	} {
		mb.RecordSystemFilesystemUsageDataPoint(now, bytes, device, usage.Path, usage.Fstype, state)
	}
	mb.RecordSystemFilesystemUtilizationDataPoint(now, usage.UsedPercent/100, device, usage.Path, usage.Fstype)
}

// readNetwork leaves out interfaces that never carried anything.
func readNetwork(ctx context.Context, r *source.Reading) {
	all, err := net.IOCountersWithContext(ctx, true)
	if !r.Check("network I/O", 3, err) {
		return
	}
	interfaces := make(map[string]net.IOCountersStat, len(all))
	for _, c := range all {
		if c.BytesRecv+c.BytesSent+c.Errin+c.Errout+c.Dropin+c.Dropout > 0 {
			interfaces[c.Name] = c
		}
	}
	const receive, transmit = metadata.AttributeNetworkIoDirectionReceive, metadata.AttributeNetworkIoDirectionTransmit
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		for _, name := range firstNames(interfaces) {
			c := interfaces[name]
			mb.RecordSystemNetworkIoDataPoint(now, source.Signed(c.BytesRecv), name, receive)
			mb.RecordSystemNetworkIoDataPoint(now, source.Signed(c.BytesSent), name, transmit)
			mb.RecordSystemNetworkErrorsDataPoint(now, source.Signed(c.Errin), name, receive)
			mb.RecordSystemNetworkErrorsDataPoint(now, source.Signed(c.Errout), name, transmit)
			mb.RecordSystemNetworkPacketDroppedDataPoint(now, source.Signed(c.Dropin), name, receive)
			mb.RecordSystemNetworkPacketDroppedDataPoint(now, source.Signed(c.Dropout), name, transmit)
		}
	})
}
