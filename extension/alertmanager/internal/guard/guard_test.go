package guard

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAddressesThatAreNoTargetAreRefused(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1": true, "10.0.0.1": true, "1.1.1.1": true, "::1": true, "2001:db8::1": true, "64:ff9b::101:101": true,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "fe80::1": false, "fe80::1%eth0": false,
		"224.0.0.1": false, "0.0.0.0": false, "::": false,
		"fd00:ec2::254": false, "fd00:ec2::254%eth0": false, "fd00:ec2::23": false, "fd20:ce::254": false, "100.100.100.200": false,
		"168.63.129.16": false, "192.0.0.192": false,
	} {
		assert.Equal(t, ok, forbidden(netip.MustParseAddr(address)) == nil, address)
	}
}
