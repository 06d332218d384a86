// Package grpcclient makes unary gRPC calls whose messages are encoded already, for a generator that must cost less than what it loads.
//
// grpc-go spends most of a small call on what the generator has no use for: a stream object, a stats and a retry layer, three goroutines
// that wake each other. Here a call is a place in its connection's queue: one goroutine writes a connection, one reads it, and the caller is
// woken once. What goes over the wire is what grpc-go sends: the same headers in the same encoding, frames in the same order and of the same
// size, the same pings and window updates, written together under the same rule (see write.go). So do a client's errors: calls wait while a
// connection is made, fail at once while the next attempt is waited for, and are begun again where the server has not looked at them: once
// if they were opened, and else on every connection there is.
//
// Frames and header compression are golang.org/x/net/http2's. It has no TLS, no streams and no name resolution.
package grpcclient

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// Config is what a Client is made from.
type Config struct {
	// Address is the server's host and port.
	Address string
	// Method is the full name, "/package.Service/Method".
	Method string
	// Encoding is how the messages are compressed, by grpc-encoding's name. Empty: they are not.
	Encoding string
	// Backoff is waited for between attempts to connect, each of which may take MinConnectTimeout, or as long as is waited for after it.
	Backoff           backoff.Config
	MinConnectTimeout time.Duration
	// Dial makes a connection; nil: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Client makes calls over one connection at a time. Its methods may be called from several goroutines at once.
type Client struct {
	cfg     Config
	ctx     context.Context // ends with Close, and every connection with it
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu         sync.Mutex    // guards what is below; taken after a conn's
	conn       *conn         // begins calls; nil: there is none
	connecting chan struct{} // closed when the attempt that is made has ended; nil: none is made
	failures   int           // attempts since the last connection
	failure    error         // the last one's
	retryAt    time.Time
}

var errClosed = status.Error(codes.Canceled, "the client is closing")

// New returns a client that connects when the first call needs it.
func New(cfg Config) *Client {
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	c := &Client{cfg: cfg}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends the calls that are under way, and returns when nothing of the client runs any more.
func (c *Client) Close() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
}

// Call sends a message, of which it takes references of its own, and returns the answer. Errors have a gRPC status.
func (c *Client) Call(ctx context.Context, message mem.Buffer) ([]byte, error) {
	for again := false; ; again = true {
		conn, err := c.connection(ctx)
		if err != nil {
			return nil, err
		}
		k := newCall(ctx, message)
		conn.begin(k)
		select {
		case <-k.done:
		case <-ctx.Done():
			conn.leave(k, ctx.Err())
		}
		// One that was not opened tries every connection there is, as with grpc-go.
		if k.unprocessed && (k.id == 0 || !again) {
			continue
		}
		return k.answer, k.err
	}
}

// connection returns the one that begins calls.
func (c *Client) connection(ctx context.Context) (*conn, error) {
	for waited := false; ; waited = true {
		c.mu.Lock()
		connected, connecting := c.conn, c.connecting
		switch {
		case c.ctx.Err() != nil:
			c.mu.Unlock()
			return nil, errClosed
		case connected != nil:
			c.mu.Unlock()
			return connected, nil
		case connecting == nil && c.failures > 0 && (waited || time.Now().Before(c.retryAt)):
			defer c.mu.Unlock()
			return nil, status.Errorf(codes.Unavailable, "connecting: %v", c.failure)
		case connecting == nil:
			connecting = make(chan struct{})
			c.connecting = connecting
			c.running.Go(c.connect)
		}
		c.mu.Unlock()
		select {
		case <-connecting:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// connect makes a connection and serves it until it ends.
func (c *Client) connect() {
	began := time.Now()
	wait := c.backoff()
	ctx, cancel := context.WithTimeout(c.ctx, max(wait, c.cfg.MinConnectTimeout))
	defer cancel()
	conn, err := dial(ctx, c)
	c.mu.Lock()
	close(c.connecting)
	c.connecting = nil
	if err != nil {
		c.failures++
		c.failure, c.retryAt = err, began.Add(wait)
	} else {
		c.failures = 0
		c.conn = conn
	}
	c.mu.Unlock()
	if err == nil {
		conn.serve()
	}
}

// backoff is how long after the beginning of an attempt the next one may follow. Only connect calls it, one at a time.
func (c *Client) backoff() time.Duration {
	b := c.cfg.Backoff
	wait, most := float64(b.BaseDelay), float64(b.MaxDelay)
	for n := c.failures; n > 0 && wait < most; n-- {
		wait *= b.Multiplier
	}
	return time.Duration(min(wait, most) * (1 + b.Jitter*(2*rand.Float64()-1)))
}

// lost notes that a connection begins no more calls.
func (c *Client) lost(gone *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == gone {
		c.conn = nil
	}
}
