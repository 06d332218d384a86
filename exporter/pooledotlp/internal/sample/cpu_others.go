//go:build !unix

package sample

import (
	"testing"
	"time"
)

// ProcessCPU skips the test: only Unix systems tell a process's CPU time finely enough.
func ProcessCPU(tb testing.TB) time.Duration {
	tb.Helper()
	tb.Skip("this system has no getrusage")
	return 0
}
