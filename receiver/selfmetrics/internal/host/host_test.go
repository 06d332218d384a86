package host

import (
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/stretchr/testify/assert"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

func TestTheHostIsRead(t *testing.T) {
	s := New()
	s.Read(t.Context())
	reading := s.Read(t.Context())
	values := sourcetest.Values(t, reading)
	for _, fault := range reading.Faults {
		t.Logf("not readable here: %s: %v", fault.Part, fault.Err)
	}
	assert.Positive(t, values["system.memory.usage{system.memory.state=used}"])
	assert.Contains(t, values, "system.cpu.load_average.1m")
	found := map[string]bool{}
	for key := range values {
		name, _, _ := strings.Cut(key, "{")
		found[name] = true
	}
	for _, name := range []string{"system.filesystem.usage", "system.network.io"} {
		assert.True(t, found[name], name)
	}
}

func TestCPUUtilizationIsTheShareOfEachModeInBetween(t *testing.T) {
	before := &cpu.TimesStat{User: 10, System: 10, Idle: 80}
	after := &cpu.TimesStat{User: 13, System: 11, Idle: 86}
	shares := utilization(before, after)
	assert.InDelta(t, 0.3, shares[metadata.AttributeCPUModeUser], 1e-9)
	assert.InDelta(t, 0.1, shares[metadata.AttributeCPUModeSystem], 1e-9)
	assert.InDelta(t, 0.6, shares[metadata.AttributeCPUModeIdle], 1e-9)
}
