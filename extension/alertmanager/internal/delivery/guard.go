package delivery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// metadataServices are addresses at which clouds tell a machine its secrets, besides the link-local ones.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS over IPv6
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
}

// forbidden reports why no notification goes to an address: the targets come from configuration, and a request from inside
// must not reach what only the machine itself may ask.
func forbidden(address netip.Addr) error {
	address = address.Unmap()
	if address.IsLinkLocalUnicast() || address.IsLinkLocalMulticast() || address.IsMulticast() || address.IsUnspecified() {
		return fmt.Errorf("%s is no address to notify: link-local, multicast and unspecified addresses are refused", address)
	}
	for _, service := range metadataServices {
		if address == service {
			return fmt.Errorf("%s is no address to notify: metadata services are refused", address)
		}
	}
	return nil
}

// guardedDial connects as net.Dialer does, and refuses forbidden addresses after names are resolved.
func guardedDial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: 10 * time.Second,
		Control: func(_, resolved string, _ syscall.RawConn) error {
			host, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return err
			}
			return forbidden(host.Addr())
		},
	}
	return dialer.DialContext(ctx, network, address)
}

// resolvesToForbidden looks a host up for targets that dial by themselves, as e-mail does.
func resolvesToForbidden(ctx context.Context, host string) error {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil //nolint:nilerr // the dial that follows reports it
	}
	for _, address := range addresses {
		if err := forbidden(address); err != nil {
			return err
		}
	}
	return nil
}
