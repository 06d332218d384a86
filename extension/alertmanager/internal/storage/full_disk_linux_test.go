package storage

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallDisk mounts a file system of its own. fill takes all that is free of it, and returns how to give it back.
func smallDisk(t *testing.T) (directory string, fill func() (free func())) {
	t.Helper()
	directory = t.TempDir()
	if err := syscall.Mount("none", directory, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("file systems cannot be mounted here:", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(directory, syscall.MNT_DETACH)) })
	return directory, func() func() {
		filler := filepath.Join(directory, "filler")
		require.ErrorIs(t, os.WriteFile(filler, make([]byte, 9<<20), 0o600), syscall.ENOSPC)
		return func() { require.NoError(t, os.Remove(filler)) }
	}
}

func TestMetricsAreKeptInMemoryWhileTheDiskIsFull(t *testing.T) {
	directory, fill := smallDisk(t)
	var troubles []error
	s := open(t, directory, 3)
	s.trouble = func(err error) { troubles = append(troubles, err) }
	begin := time.Now().Add(-30 * time.Minute)
	sent := 0
	send := func(n int) {
		for range n {
			sent++
			require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", begin.Add(time.Duration(sent)*time.Second), "a", "b")))
		}
	}
	send(200)
	free := fill()
	send(200)
	require.NoError(t, s.Appender(t.Context()).Commit()) // of a rule without results
	require.Len(t, troubles, 1)
	require.ErrorIs(t, troubles[0], syscall.ENOSPC)
	assert.Equal(t, 2*sent, sum(stored(t, s, "m")), "every sample can be asked for")
	assert.EqualValues(t, 2, s.Stats().Unlogged)

	app := s.Appender(t.Context()) // of the rules' engine
	_, err := app.Append(0, labels.FromStrings("__name__", "ALERTS", "alertname", "x"), begin.UnixMilli(), 1)
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	assert.Equal(t, 1, sum(stored(t, s, "ALERTS")))
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("n", time.Now(), "a", "b", "c")))
	assert.Len(t, stored(t, s, "n"), 1, "the bound on the series holds")

	free()
	send(200)
	require.Len(t, troubles, 2)
	require.NoError(t, troubles[1])
	assert.Equal(t, 2*sent, sum(stored(t, s, "m")), "every sample can be asked for")
	require.NoError(t, s.Close())

	s = open(t, directory, 3)
	afterwards := sum(stored(t, s, "m"))
	assert.GreaterOrEqual(t, afterwards, 2*400, "what was on disk is read again")
	assert.LessOrEqual(t, afterwards, 2*sent, "once") // the log may still have had records in its page, to write when there was room
}

func TestWhatIsKeptInMemoryIsGivenUpAfterTheRetention(t *testing.T) {
	directory, fill := smallDisk(t)
	s := open(t, directory, 3)
	fill()
	begin := time.Now().Add(-50 * time.Minute)
	for i := range 300 {
		require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", begin.Add(time.Duration(i)*10*time.Second), "a")))
	}
	kept := s.unlogged.head.NumSeries()
	require.NotZero(t, kept)
	require.NoError(t, s.unlogged.prune(begin.Add(100*time.Minute)))
	assert.GreaterOrEqual(t, time.UnixMilli(s.unlogged.head.MinTime()), begin.Add(39*time.Minute))
	require.NoError(t, s.unlogged.prune(begin.Add(3*time.Hour)))
	assert.Zero(t, s.Stats().Unlogged)
	assert.False(t, s.unlogged.active.Load())
}

func TestAFullDiskDoesNotEndTheProcessWhenTheStorageIsClosed(t *testing.T) {
	directory, fill := smallDisk(t)
	s := open(t, directory, 3)
	begin := time.Now().Add(-30 * time.Minute)
	for i := range 500 { // several chunks of each series
		require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", begin.Add(time.Duration(i)*time.Second), "a")))
	}
	fill()
	require.ErrorContains(t, s.Close(), "no space left on device")
}
