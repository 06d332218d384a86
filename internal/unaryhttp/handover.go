package unaryhttp

import (
	"net"
	"sync"
)

// handover is the listener from which net/http accepts the connections that it is to serve.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over, of which the given bytes have been read.
func (h *handover) give(c net.Conn, read []byte) {
	select {
	case h.conns <- &replayed{Conn: c, read: read}:
	case <-h.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// replayed is a connection whose first bytes are read again.
type replayed struct {
	net.Conn
	read []byte
}

// Read implements net.Conn. One goroutine reads at a time.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.read)
	if r.read = r.read[n:]; len(r.read) == 0 {
		r.read = nil // the buffer need not live as long as the connection
	}
	return n, nil
}

// CloseWrite says that nothing more comes, which net/http does after an answer to what it has not read to the end.
func (r *replayed) CloseWrite() error { return closeWrite(r.Conn) }

func closeWrite(c net.Conn) error {
	if half, can := c.(interface{ CloseWrite() error }); can {
		return half.CloseWrite()
	}
	return nil
}
