package result

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strings"
)

// ThisMachine describes where the process runs.
func ThisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		lines := bufio.NewScanner(bytes.NewReader(content))
		for lines.Scan() {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if content, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(content))
	}
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if value, ok := os.LookupEnv(name); ok {
			m.GC = strings.TrimSpace(m.GC + " " + name + "=" + value)
		}
	}
	if m.GC == "" {
		m.GC = "Go's defaults"
	}
	return m
}
