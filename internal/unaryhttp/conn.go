package unaryhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

// bufferSize bounds a head. It is what an idle connection holds, so that it is small; a body is read past it.
const bufferSize = 4 << 10

// maxStrays is how many bytes of line ends net/http passes over behind a POST: old clients send some that they do not count in its length.
const maxStrays = 4

// What net/http does with a body that its handler did not read to the end.
const (
	maxDrain  = 256 << 10              // maxPostHandlerReadBytes
	lingerFor = 500 * time.Millisecond // rstAvoidanceDelay
)

// conn is one client's connection, which one goroutine reads and writes.
type conn struct {
	server *Server
	net    net.Conn
	ctx    context.Context // the requests' parent
	cancel context.CancelFunc

	// Only the connection's goroutine uses these, and its watch while that reads.
	buffer     []byte
	start, end int       // what has been read and not used
	arrived    time.Time // when the first bytes of the request did
	out        []byte

	mu     sync.Mutex
	active bool // a request's head is complete, and it is not answered
	closed bool
	watch  watch
}

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{server: s, net: raw, buffer: make([]byte, bufferSize)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if connected := s.cfg.Connected; connected != nil {
		c.ctx = connected(c.ctx, raw)
	}
	c.watch.ended.L = &c.mu
	return c
}

// serve serves requests until the connection ends or is net/http's.
func (c *conn) serve() {
	given := false
	defer func() {
		c.cancel()
		if !given {
			_ = c.net.Close()
		}
	}()
	wait := c.headerTimeout() // a new connection has as long as net/http gives it
	strays := 0
	for {
		h, kind := c.head(wait, strays)
		switch kind {
		case foreign:
			if !c.enter() { // from here on, closeIdle leaves it alone: it is net/http's to close
				return
			}
			given = true
			_ = c.net.SetReadDeadline(time.Time{}) // ours was for the first byte; net/http sets one only if it has one
			c.server.handOver(c.net, c.unused())
			return
		case partial:
			return // it ended, or was too slow
		case plain:
		}
		if !c.request(h) {
			return
		}
		wait, strays = c.idleTimeout(), maxStrays
	}
}

// head reads until it knows what the next request is. Its first byte may take as long as wait says; 0 is for ever. Before it, so many strays are
// passed over.
func (c *conn) head(wait time.Duration, strays int) (head, state) {
	for {
		c.end = copy(c.buffer, c.unused())
		c.start = 0
		if c.end == 0 && c.read(deadline(time.Now(), wait)) != nil {
			return head{}, partial
		}
		if b := c.buffer[0]; strays == 0 || b != '\r' && b != '\n' {
			break
		}
		strays--
		c.start++
	}
	c.arrived = time.Now()
	for {
		h, kind := c.server.parse(c.unused())
		if kind != partial {
			return h, kind
		}
		if c.end == len(c.buffer) {
			return h, foreign
		}
		if err := c.read(deadline(c.arrived, c.headerTimeout())); errors.Is(err, io.EOF) {
			return h, foreign // net/http has an answer to half a head, too
		} else if err != nil {
			return h, partial
		}
	}
}

// read adds what arrives to the buffer.
func (c *conn) read(until time.Time) error {
	_ = c.net.SetReadDeadline(until)
	n, err := c.net.Read(c.buffer[c.end:])
	c.end += n
	return err
}

func (c *conn) unused() []byte { return c.buffer[c.start:c.end] }

// request serves a request, and reports whether another one may follow.
func (c *conn) request(h head) bool {
	if !c.enter() {
		return false
	}
	started := time.Now()
	c.start += h.size
	b := &body{conn: c, missing: h.length}
	if int64(len(c.unused())) < h.length {
		_ = c.net.SetReadDeadline(deadline(c.arrived, c.server.cfg.Fallback.ReadTimeout))
	}
	answer, ok := c.handle(h, b)
	if !ok {
		return false
	}
	b.handled = true
	b.drain()
	last := b.missing > 0 || c.server.conns.Stopped()
	c.out = appendAnswer(c.out[:0], answer, time.Now(), last)
	_ = c.net.SetWriteDeadline(deadline(started, c.server.cfg.Fallback.WriteTimeout))
	_, err := c.net.Write(c.out)
	goesOn := c.leave() && !last && err == nil
	if err == nil {
		b.linger()
	}
	return goesOn
}

// handle runs the endpoint. Like net/http, it does not let a request that makes it panic take the others along: ok is false then.
func (c *conn) handle(h head, b *body) (answer Answer, ok bool) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer func() {
		c.stopWatching()
		cancel()
		p := recover()
		if log := c.server.cfg.Fallback.ErrorLog; p != nil && log != nil {
			log.Printf("http: panic serving %v: %v\n%s", c.net.RemoteAddr(), p, debug.Stack())
		}
	}()
	if b.missing == 0 {
		c.startWatching()
	}
	return h.endpoint(ctx, Request{Body: b, Length: h.length, Encoding: h.encoding, SetReadDeadline: c.net.SetReadDeadline}), true
}

// enter notes that a request is under way, so that a shutdown waits for it.
func (c *conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = true
	return !c.closed
}

// leave notes that it has been answered, and reports whether the connection goes on. A shutdown that has begun meanwhile may have passed the
// connection over as active, so that the server is asked after it is not: either closeIdle sees that, or leave sees the shutdown.
func (c *conn) leave() bool {
	c.mu.Lock()
	c.active = false
	closed := c.closed
	c.mu.Unlock()
	return !closed && !c.server.conns.Stopped()
}

// closeIdle closes a connection that is not within a request. One of which the head is incomplete is not: its client sends it again.
func (c *conn) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active {
		c.closed = true
		_ = c.net.Close()
	}
}

// close ends the connection at once, and the request under way.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.cancel()
	_ = c.net.Close()
}

func (c *conn) headerTimeout() time.Duration {
	if t := c.server.cfg.Fallback.ReadHeaderTimeout; t != 0 {
		return t
	}
	return c.server.cfg.Fallback.ReadTimeout
}

func (c *conn) idleTimeout() time.Duration {
	if t := c.server.cfg.Fallback.IdleTimeout; t != 0 {
		return t
	}
	return c.server.cfg.Fallback.ReadTimeout
}

// deadline is the end of a time; the zero time, which is none, if that has none.
func deadline(from time.Time, after time.Duration) time.Time {
	if after <= 0 {
		return time.Time{}
	}
	return from.Add(after)
}

// body is a request's body: what is in the buffer, and then what arrives, which is read to where it stays.
type body struct {
	conn    *conn
	missing int64
	handled bool // by the endpoint
}

// drain reads over what an endpoint had no use for, so that the connection can go on, if that is as little as net/http does it for.
func (b *body) drain() {
	if b.missing < maxDrain {
		_, _ = io.Copy(io.Discard, b) // what is left ends the connection
	}
}

// linger gives a client that is still sending time to read its answer: closed with data unread, the connection is reset, and the client's
// system may drop the answer for that. A shutdown that comes meanwhile ends it, as the connection is not active any more.
func (b *body) linger() {
	if b.missing == 0 {
		return
	}
	_ = closeWrite(b.conn.net)
	_ = b.conn.net.SetReadDeadline(time.Now().Add(lingerFor))
	_, _ = io.Copy(io.Discard, b)
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	if b.missing == 0 {
		return 0, io.EOF
	}
	c := b.conn
	p = p[:min(int64(len(p)), b.missing)]
	if buffered := c.unused(); len(buffered) > 0 {
		n = copy(p, buffered)
		c.start += n
	} else {
		n, err = c.net.Read(p)
	}
	b.missing -= int64(n)
	switch {
	case b.missing == 0:
		err = nil
		if !b.handled {
			c.startWatching()
		}
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
