//go:build unix

package sample

import (
	"syscall"
	"testing"
	"time"
)

// ProcessCPU is the CPU time that this process has used, in user and system mode. It ends the test where that cannot be read.
func ProcessCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
