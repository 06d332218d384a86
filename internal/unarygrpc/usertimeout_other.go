//go:build !linux

package unarygrpc

import (
	"net"
	"time"
)

// setUserTimeout does nothing: only Linux has this timeout, for grpc-go as well.
func setUserTimeout(net.Conn, time.Duration) error { return nil }
