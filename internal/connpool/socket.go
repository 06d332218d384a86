package connpool

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
)

// socket keeps hold of the network connection under a sub-connection, so that it can be closed with calls in flight: what
// grpc-go closes on request lets them finish, which on a black hole they do at their timeout. The credentials are where the
// network connection passes by; a dialer would see it too, but a client with a dialer of its own has no proxies.
//
// It is safe for concurrent use.
type socket struct {
	creds

	mu  sync.Mutex
	raw net.Conn
}

// creds is an alias because the interface and the method of a bundle have the same name.
type creds = credentials.TransportCredentials

var _ credentials.Bundle = (*socket)(nil)

// ClientHandshake implements credentials.TransportCredentials.
func (s *socket) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	s.mu.Lock()
	s.raw = raw
	s.mu.Unlock()
	return s.creds.ClientHandshake(ctx, authority, raw)
}

// TransportCredentials implements credentials.Bundle.
func (s *socket) TransportCredentials() credentials.TransportCredentials { return s }

// PerRPCCredentials implements credentials.Bundle. Those of the client connection stay in use.
func (*socket) PerRPCCredentials() credentials.PerRPCCredentials { return nil }

// NewWithMode implements credentials.Bundle. grpc-go calls it for connections to load balancers only.
func (s *socket) NewWithMode(string) (credentials.Bundle, error) { return s, nil }

// close ends the network connection, and with it all calls on it.
func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raw != nil {
		_ = s.raw.Close()
	}
}
