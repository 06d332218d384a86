// Package accepting has the loop in which a server accepts connections.
package accepting

import (
	"errors"
	"net"
	"time"
)

// Loop gives each connection to begin, which must not wait, until the listener fails for good, and returns that error. What will pass, as
// too many open files does, it waits for as long as net/http and grpc-go do.
func Loop(l net.Listener, begin func(net.Conn)) error {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			wait = 0
			begin(c)
			continue
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return err
		}
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		time.Sleep(wait)
	}
}
