// Package resources reads what a process and its children use, from /proc.
package resources

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// Usage is what a process tree has used, or uses, at a moment.
type Usage struct {
	// CPUSeconds are user and system time since the processes began; the kernel counts it in hundredths.
	CPUSeconds float64
	// RSS and Anonymous are in bytes. Anonymous leaves out mapped files, above all the binary itself: it is what a load costs.
	RSS, Anonymous uint64
}

// Read adds up a process and its descendants.
func Read(pid int) (Usage, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	stat, err := process.Stat()
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	status, err := process.NewStatus()
	if err != nil {
		return Usage{}, fmt.Errorf("process %d: %w", pid, err)
	}
	total := Usage{CPUSeconds: stat.CPUTime(), RSS: status.VmRSS, Anonymous: status.RssAnon}
	for _, child := range children(pid) {
		// A child that ended since is no error: its time is in nobody's sum any more, which a Collector, without children, never sees.
		if usage, err := Read(child); err == nil {
			total.CPUSeconds += usage.CPUSeconds
			total.RSS += usage.RSS
			total.Anonymous += usage.Anonymous
		}
	}
	return total, nil
}

func children(pid int) []int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(content)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// OwnCPUSeconds is what this process has used: in a run, the generator and the backend together.
func OwnCPUSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// Sample calls take every interval until ctx ends.
func Sample(ctx context.Context, interval time.Duration, take func(at time.Time)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case at := <-ticker.C:
			take(at)
		case <-ctx.Done():
			return
		}
	}
}
