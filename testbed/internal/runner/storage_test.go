package runner

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/generator"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/ledger"
	"github.com/otelcol-adaptive/otelcol-adaptive/testbed/internal/payload"
)

func TestAFullDiskIsSeen(t *testing.T) {
	s, err := newStorage(filepath.Join(t.TempDir(), "storage"), 1)
	if errors.Is(err, errNoDisk) {
		t.Skip(err)
	}
	require.NoError(t, err)
	require.ErrorIs(t, os.WriteFile(filepath.Join(s.dir, "queue"), make([]byte, 2<<20), 0o600), syscall.ENOSPC)
	whole := &trial{storage: s, runner: new(Runner), ledger: ledger.New(1), generator: generator.New(generator.Settings{Set: new(payload.Set)})}
	whole.watch.take(whole)
	require.NoError(t, whole.watch.full())
	require.NoError(t, s.remove())
}

// A run that is killed cannot remove its storage; the next one in the same folder must not find it.
func TestStorageOfAKilledRunIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "storage")
	for _, sizes := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		left, err := newStorage(dir, sizes[0])
		if errors.Is(err, errNoDisk) {
			continue
		}
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(left.dir, "queue"), []byte("old"), 0o600))
		again, err := newStorage(dir, sizes[1])
		if errors.Is(err, errNoDisk) {
			continue
		}
		require.NoError(t, err)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, entries)
		require.NoError(t, again.remove())
		assert.NoDirExists(t, dir, "no mount is left below")
	}
}
