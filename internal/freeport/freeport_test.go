package freeport

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddressesDifferAndCanBeListenedOn(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address, err := Address()
		require.NoError(t, err)
		assert.False(t, seen[address], address)
		seen[address] = true
		listener, err := net.Listen("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	}
}
