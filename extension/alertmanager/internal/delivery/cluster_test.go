package delivery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/freeport"
)

// shared keeps what it receives.
type shared chan string

func (shared) SetBroadcast(func([]byte))      {}
func (shared) MarshalBinary() ([]byte, error) { return []byte("what is shared"), nil }
func (s shared) Merge(content []byte) error {
	select {
	case s <- string(content):
	default:
	}
	return nil
}

// As after a reload of the configuration: the same address, in the same process.
func TestAMemberOfAClusterCanBeStartedAgainInOneProcess(t *testing.T) {
	var addresses [2]string
	for i := range addresses {
		var err error
		addresses[i], err = freeport.Address()
		require.NoError(t, err)
	}
	states := [2]shared{make(shared, 10), make(shared, 10)}
	join := func(i int) *Delivery {
		return start(t, Config{Shared: states[i], Cluster: Cluster{Listen: addresses[i], Peers: []string{addresses[1-i]}}}, "")
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
	assert.Eventually(t, func() bool { return len(states[1]) > 0 && <-states[1] == "what is shared" }, wait, 10*time.Millisecond)
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
