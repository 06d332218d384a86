// Package guard keeps notifications from addresses that are not meant for them.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// metadataServices are addresses at which clouds tell a machine its secrets, besides the link-local ones.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS over IPv6
	netip.MustParseAddr("fd00:ec2::23"),    // AWS, credentials of a pod
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud over IPv6
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
}

// translated are the IPv6 addresses behind which a NAT64 has IPv4 (RFC 6052), in their last four bytes.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// ErrForbidden is in the chain of errors of a dial that was refused.
var ErrForbidden = errors.New("is no address to notify")

// forbidden reports why no notification goes to an address: the targets come from configuration, and a request from inside
// must not reach what only the machine itself may ask.
func forbidden(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	if translated.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if address.IsLinkLocalUnicast() || address.IsLinkLocalMulticast() || address.IsMulticast() || address.IsUnspecified() {
		return fmt.Errorf("%s %w: link-local, multicast and unspecified addresses are refused", address, ErrForbidden)
	}
	if slices.Contains(metadataServices, address) {
		return fmt.Errorf("%s %w: metadata services are refused", address, ErrForbidden)
	}
	return nil
}

// Dial connects as net.Dialer does, and refuses forbidden addresses after names are resolved: names that resolve to such, and
// redirects to such, are refused as well.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
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

// PatientDial is Dial for notifiers that do not all mind their context: what was asked over the connection has so long to be
// answered.
func PatientDial(patience time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: conn, patience: patience}, nil
	}
}

// patientConn fails what is under way when nothing has been written for a while, which ends a request without an answer, and an idle connection.
type patientConn struct {
	net.Conn
	patience time.Duration
}

// Write implements net.Conn.
func (c *patientConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
