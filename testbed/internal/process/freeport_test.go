package process

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func portOf(t *testing.T, address string) uint32 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	port, err := strconv.ParseUint(text, 10, 16)
	require.NoError(t, err)
	return uint32(port)
}

func TestAFreePortIsNoneThatAConnectionCouldTake(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address, err := FreeAddress()
		require.NoError(t, err)
		require.False(t, seen[address], "given twice")
		seen[address] = true
		require.Less(t, portOf(t, address), uint32(32_768))
	}
}

func TestAPortThatIsTakenIsNotGiven(t *testing.T) {
	taken, err := FreeAddress()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", taken)
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()

	nextPort.Store(portOf(t, taken) - firstPort - 1) // so that it would be the next one
	address, err := FreeAddress()
	require.NoError(t, err)
	require.NotEqual(t, taken, address)
}
