package unarygrpc

import (
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout ends a connection whose peer acknowledges nothing that was written for so long. The system would go on sending it for about
// a quarter of an hour, and all that time a blocked Write keeps who writes. Connections that are not TCP have no such timeout.
func setUserTimeout(c net.Conn, timeout time.Duration) error {
	tcp, is := c.(*net.TCPConn)
	if !is {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		milliseconds := min(timeout.Milliseconds(), math.MaxInt32)
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(milliseconds))
	})
	if err != nil {
		return err
	}
	return failed
}
