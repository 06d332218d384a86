package alertmanager

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
)

// statusHost keeps the last status.
type statusHost struct {
	component.Host
	last *componentstatus.Event
}

func (h *statusHost) Report(event *componentstatus.Event) { h.last = event }

func TestTheStatusTellsWhatCannotBeWritten(t *testing.T) {
	host := &statusHost{Host: componenttest.NewNopHost()}
	disk := diskStatus{host: host}
	metrics, state := disk.tells("what the rules have seen"), disk.tells("the state of alerts")
	state(errors.New("disk full"))
	metrics(errors.New("log full"))
	require.Equal(t, componentstatus.StatusRecoverableError, host.last.Status())
	require.EqualError(t, host.last.Err(), "the state of alerts cannot be written to disk: disk full\nwhat the rules have seen cannot be written to disk: log full")
	state(nil)
	require.EqualError(t, host.last.Err(), "what the rules have seen cannot be written to disk: log full")
	metrics(nil)
	assert.Equal(t, componentstatus.StatusOK, host.last.Status())
}

func TestADirectoryIsTriedOut(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "new")
	require.NoError(t, writable(directory))
	left, err := os.ReadDir(directory)
	require.NoError(t, err)
	assert.Empty(t, left)
	require.Error(t, writable("/dev/null/x"))
}
