package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheOldContentStaysUntilTheNewIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	require.NoError(t, Replace(path, []byte("old")))
	require.NoError(t, os.Mkdir(path+".new", 0o700)) // nothing can be written now
	require.ErrorContains(t, Replace(path, []byte("new")), "write state")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(content))
	require.NoError(t, os.Remove(path+".new"))
	require.NoError(t, Replace(path, []byte("new")))
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(content))
}
