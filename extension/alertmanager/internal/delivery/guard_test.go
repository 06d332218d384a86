package delivery

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddressesThatAreNoTargetAreRefused(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1": true, "10.0.0.1": true, "1.1.1.1": true, "::1": true, "2001:db8::1": true,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "fe80::1": false, "224.0.0.1": false, "0.0.0.0": false, "::": false,
		"fd00:ec2::254": false, "100.100.100.200": false, "168.63.129.16": false, "192.0.0.192": false,
	} {
		assert.Equal(t, ok, forbidden(netip.MustParseAddr(address)) == nil, address)
	}
	failed := make(chan Notification, 10)
	d := start(t, Config{Notified: func(n Notification) { failed <- n }}, `
global: {smtp_smarthost: "169.254.1.1:25", smtp_from: a@example.com, smtp_require_tls: false}
route: {receiver: all, `+quick+`}
receivers: [{name: all, webhook_configs: [{url: "http://169.254.169.254/latest"}], email_configs: [{to: b@example.com}]}]
`)
	require.NoError(t, d.Send(t.Context(), firing("A")))
	seen := map[string]bool{}
	for len(seen) < 2 {
		n := <-failed
		require.ErrorContains(t, n.Err, "link-local")
		seen[n.Integration] = true
	}
	require.NoError(t, resolvesToForbidden(t.Context(), "localhost"))
	require.NoError(t, resolvesToForbidden(t.Context(), "no.such.host.invalid"), "the dial says so")
}
