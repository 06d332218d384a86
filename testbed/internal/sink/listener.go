package sink

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener counts what it reads, reads as slowly as the phase says, and can cut a connection by its peer's address.
type listener struct {
	net.Listener
	schedule *schedule
	read     *atomic.Uint64

	mu    sync.Mutex // guards conns
	conns map[string]net.Conn
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.conns[c.RemoteAddr().String()] = c
	l.mu.Unlock()
	return &conn{Conn: c, listener: l}, nil
}

// reset cuts a connection so that its peer sees a reset and not an orderly end.
func (l *listener) reset(remote string) {
	l.mu.Lock()
	c := l.conns[remote]
	l.mu.Unlock()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

type conn struct {
	net.Conn
	listener *listener
}

// slowRead is how much a slowed connection reads at once.
const slowRead = 4 << 10

func (c *conn) Read(b []byte) (int, error) {
	rate := c.listener.schedule.at(time.Now()).ReadBytesPerSecond
	if rate > 0 && len(b) > slowRead {
		b = b[:slowRead]
	}
	n, err := c.Conn.Read(b)
	c.listener.read.Add(uint64(n))
	if rate > 0 && n > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
	}
	return n, err
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c.RemoteAddr().String())
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
