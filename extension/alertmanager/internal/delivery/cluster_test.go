package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/freeport"
)

// As after a reload of the configuration: the same address, in the same process.
func TestAMemberOfAClusterCanBeStartedAgainInOneProcess(t *testing.T) {
	var addresses [2]string
	for i := range addresses {
		var err error
		addresses[i], err = freeport.Address()
		require.NoError(t, err)
	}
	join := func(i int) *Delivery {
		return start(t, Config{Cluster: Cluster{Listen: addresses[i], Peers: []string{addresses[1-i]}}}, "")
	}
	awaitSize := func(d *Delivery, size int) {
		t.Helper()
		require.Eventually(t, func() bool { return d.peer.ClusterSize() == size }, wait, 10*time.Millisecond)
	}
	other, member := join(0), join(1)
	awaitSize(other, 2)
	for range 2 {
		require.NoError(t, member.Close())
		awaitSize(other, 1)
		member = join(1)
		awaitSize(other, 2)
		awaitSize(member, 2)
	}
	require.NoError(t, other.Send(t.Context(), firing("A")))
	assert.Eventually(t, func() bool { return len(member.Active()) == 1 }, wait, 10*time.Millisecond, "it takes part")
	require.NoError(t, member.Close())
	require.NoError(t, other.Close())
	// A probe under way ends by its time.
	var left error
	for range 10 {
		if left = goleak.Find(); left == nil {
			break
		}
	}
	require.NoError(t, left)
}
