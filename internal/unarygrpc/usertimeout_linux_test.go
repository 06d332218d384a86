package unarygrpc

import (
	"math"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/keepalive"
)

// A client that vanished with answers under way is given up as soon as one that does not answer a ping, as by grpc-go.
func TestWhatIsNotAcknowledgedTimesOut(t *testing.T) {
	for name, test := range map[string]struct {
		keepalive    keepalive.ServerParameters
		milliseconds int
	}{
		"by default":    {keepalive.ServerParameters{}, 20_000},
		"as configured": {keepalive.ServerParameters{Timeout: 7 * time.Second}, 7000},
		"very late":     {keepalive.ServerParameters{Timeout: forever}, math.MaxInt32},
		"without pings": {keepalive.ServerParameters{Time: forever}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, address := serve(t, Config{Keepalive: test.keepalive, Enforcement: anyPings}, accept)
			c := dial(t, address)
			c.pong() // the handshake is over
			raw, err := only(s).raw.(*net.TCPConn).SyscallConn()
			require.NoError(t, err)
			var got int
			var failed error
			require.NoError(t, raw.Control(func(fd uintptr) {
				got, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			}))
			require.NoError(t, failed)
			assert.Equal(t, test.milliseconds, got)
		})
	}
}
