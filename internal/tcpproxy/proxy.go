// Package tcpproxy is a TCP proxy for tests that makes single connections fail: without a word, or by closing them. Connections
// made later work.
package tcpproxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Proxy forwards connections to one address. Its methods may be called by several goroutines at once.
type Proxy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	mu     sync.Mutex
	conns  []*Conn // in the order in which they came
	closed bool
}

// Conn is a connection through the proxy.
type Conn struct {
	client, server net.Conn
	hole           atomic.Bool
	closed         chan struct{}
}

// Start listens on a free port of the loopback interface.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target}
	p.all.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close closes all connections and waits for everything the proxy started.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for _, c := range p.conns {
		c.Kill()
	}
	p.mu.Unlock()
	p.all.Wait()
}

// Conns are all connections so far, those that have ended included.
func (p *Proxy) Conns() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Conn(nil), p.conns...)
}

// Swallow makes a connection a black hole: it stays open, takes what both ends write, and forwards nothing.
func (c *Conn) Swallow() { c.hole.Store(true) }

// Kill closes a connection towards both ends.
func (c *Conn) Kill() {
	_ = c.client.Close()
	_ = c.server.Close()
}

// Closed is closed when the client, the server or Kill has closed the connection.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &Conn{client: client, server: server, closed: make(chan struct{})}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		if p.closed {
			c.Kill() // it was accepted before, and was not among those that Close has closed
		}
		p.mu.Unlock()
		p.all.Go(c.forward)
	}
}

func (c *Conn) forward() {
	var both sync.WaitGroup
	ended := sync.OnceFunc(func() { close(c.closed); c.Kill() })
	for _, pair := range [][2]net.Conn{{c.client, c.server}, {c.server, c.client}} {
		both.Go(func() {
			_, _ = io.Copy(holeWriter{pair[1], &c.hole}, pair[0])
			ended()
		})
	}
	both.Wait()
}

type holeWriter struct {
	io.Writer
	hole *atomic.Bool
}

func (w holeWriter) Write(b []byte) (int, error) {
	if w.hole.Load() {
		return len(b), nil
	}
	return w.Writer.Write(b)
}
