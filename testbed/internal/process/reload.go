package process

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// Reload sends the signal that makes a Collector read its configuration again, and waits until it has: until it listens with another socket
// than before. One that takes no note of the signal, or ends, is an error.
func (p *Process) Reload() error {
	before, err := listener(p.settings.Ready)
	if err != nil {
		return err
	}
	exited := p.Exited()
	if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
		return err
	}
	deadline := time.After(p.reloadTimeout)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if now, err := listener(p.settings.Ready); err == nil && now != before {
			return nil
		}
		select {
		case <-poll.C:
		case <-exited:
			return errors.New("the process ended at SIGHUP")
		case <-deadline:
			return fmt.Errorf("the process did not listen anew within %s of SIGHUP", p.reloadTimeout)
		}
	}
}

// listener is the inode of the socket that listens on an IPv4 address of this machine.
func listener(address string) (inode string, err error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return "", err
	}
	// The table has addresses as the machine has them in memory, and ports as people write them.
	ip := at.Addr().As4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], at.Port())
	for line := range strings.Lines(string(content)) {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		if fields := strings.Fields(line); len(fields) > 9 && fields[1] == local && fields[3] == "0A" {
			return fields[9], nil
		}
	}
	return "", fmt.Errorf("nobody listens on %s", address)
}
