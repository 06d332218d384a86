package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// What follows is internal/freeport of the product's module, which this one does not depend on.

// The range lies below the ports that Linux gives to outgoing connections and to listeners that ask for any
// (net.ipv4.ip_local_port_range, 32768 and up): the generator's own connections take no port between its choice and its use.
const firstPort, portCount = 15_000, 15_000

// nextPort starts somewhere, so that testbeds that run at the same time rarely meet.
var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(portCount)) }

// FreeAddress returns a loopback address on which nobody listens, another one with each call. It may be called by several goroutines at once.
func FreeAddress() (string, error) {
	for range portCount {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%portCount)
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return address, nil //nolint:nilerr // nobody answers, which is what is wanted
		}
		if err := connection.Close(); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("no port is free from %d on", firstPort)
}
