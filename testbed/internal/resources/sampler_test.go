package resources

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOwnUsageGrowsWithWork(t *testing.T) {
	before, err := Read(os.Getpid())
	require.NoError(t, err)
	own := OwnCPUSeconds()
	ballast := make([]byte, 64<<20)
	for end := own + 0.1; OwnCPUSeconds() < end; {
		for i := range ballast {
			ballast[i]++
		}
	}
	after, err := Read(os.Getpid())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after.CPUSeconds-before.CPUSeconds, 0.08)
	assert.Greater(t, after.Anonymous, before.Anonymous+32<<20)
	assert.Greater(t, after.RSS, after.Anonymous)
	assert.NotZero(t, ballast[0])
}

func TestChildrenAreAddedUp(t *testing.T) {
	// The trailing command keeps the shell from replacing itself by its child.
	parent := exec.Command("sh", "-c", "while :; do :; done & read line; kill $!")
	stdin, err := parent.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	require.Eventually(t, func() bool {
		usage, err := Read(parent.Process.Pid)
		return err == nil && usage.CPUSeconds >= 0.1
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, stdin.Close())
	require.NoError(t, parent.Wait())
	_, err = Read(parent.Process.Pid)
	require.Error(t, err)
}

func TestSamplesAreTakenUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer cancel()
		taken := 0
		Sample(ctx, 100*time.Millisecond, func(time.Time) { taken++ })
		assert.Equal(t, 10, taken)
	})
}
