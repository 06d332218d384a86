package grpcclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// defaultWindow and hpackTable are HTTP/2's own, which grpc-go keeps to.
	defaultWindow = 64<<10 - 1
	hpackTable    = 4 << 10
	readBuffer    = 32 << 10
	// maxHeaderList bounds an answer's headers, decompressed.
	maxHeaderList = 1 << 20
)

// conn is one connection. The goroutine that made it reads it, another one writes it.
type conn struct {
	client     *Client
	net        net.Conn
	framer     *http2.Framer // read by the reading goroutine; written to with the mutex held
	fields     []hpack.HeaderField
	compressed bool

	mu       sync.Mutex
	more     sync.Cond // the writing goroutine waits for it
	err      error     // the connection has ended, and why
	draining bool      // no more calls are begun
	nextID   uint32
	// calls are open, waiting are to be opened, sending are open and have something to send.
	calls   map[uint32]*call
	waiting []*call
	sending []*call
	output  output
	block   bytes.Buffer
	encoder *hpack.Encoder
	// maxStreams is how many calls the server has open at most; window is what it lets us send on the connection, streamWindow
	// on each call at first.
	maxStreams   int64
	window       int64
	streamWindow int64
	// unread are bytes of which the server has not been told, pinged says that it has not answered a ping.
	unread int
	pinged bool
}

// dial returns a connection whose server has said that it is there.
func dial(ctx context.Context, client *Client) (*conn, error) {
	raw, err := client.cfg.Dial(ctx, client.cfg.Address)
	if err != nil {
		return nil, err
	}
	c := &conn{
		client: client, net: raw, fields: requestFields(&client.cfg), compressed: client.cfg.Encoding != "",
		nextID: 1, calls: map[uint32]*call{}, maxStreams: math.MaxInt64, window: defaultWindow, streamWindow: defaultWindow,
	}
	c.more.L = &c.mu
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer = http2.NewFramer(&c.output, bufio.NewReaderSize(raw, readBuffer))
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.framer.MaxHeaderListSize = maxHeaderList
	c.framer.ReadMetaHeaders = hpack.NewDecoder(hpackTable, nil)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	if err := errors.Join(c.greet(), c.ended(ctx, stop)); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// ended says why an attempt to connect has ended before its end.
func (*conn) ended(ctx context.Context, stop func() bool) error {
	if stop() {
		return nil
	}
	return ctx.Err()
}

// greet exchanges the first frames.
func (c *conn) greet() error {
	if _, err := c.net.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	_ = c.framer.WriteSettings()
	if _, err := c.net.Write(c.output.copied); err != nil {
		return err
	}
	c.output.release()
	first, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	settings, is := first.(*http2.SettingsFrame)
	if !is || settings.IsAck() {
		return fmt.Errorf("the server's first frame is %v, not SETTINGS", first.Header().Type)
	}
	return c.settings(settings)
}

// serve reads until the connection ends.
func (c *conn) serve() {
	stop := context.AfterFunc(c.client.ctx, func() { c.fail(errClosed) })
	defer stop()
	var writing sync.WaitGroup
	writing.Go(c.write)
	for {
		f, err := c.framer.ReadFrame()
		c.mu.Lock()
		if err == nil {
			err = c.frame(f)
		}
		var single http2.StreamError
		if errors.As(err, &single) {
			c.reset(single.StreamID, single.Code, status.Newf(codes.Internal, "reading the answer: %v", err))
			err = nil
		}
		c.mu.Unlock()
		if err != nil {
			c.fail(err)
			break
		}
	}
	writing.Wait()
}

// begin queues a call.
func (c *conn) begin(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.draining {
		c.giveBack(k)
		return
	}
	c.waiting = append(c.waiting, k)
	c.more.Signal()
}

// leave ends a call whose caller waits no longer. If it has an answer already, that holds.
func (c *conn) leave(k *call, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandon(k, http2.ErrCodeCancel, status.FromContextError(why))
}

// abandon ends a call before the server does, and tells it so if it knows of it. The mutex is held.
func (c *conn) abandon(k *call, code http2.ErrCode, s *status.Status) {
	if !k.finished && k.id > 0 && c.err == nil {
		_ = c.framer.WriteRSTStream(k.id, code)
		c.more.Signal()
	}
	c.finish(k, s.Err())
}

// reset is abandon of a call by its number.
func (c *conn) reset(id uint32, code http2.ErrCode, s *status.Status) {
	if k := c.calls[id]; k != nil {
		c.abandon(k, code, s)
	}
}

// giveBack ends a call of which the server knows nothing, or wants to. The mutex is held.
func (c *conn) giveBack(k *call) {
	if !k.finished {
		k.unprocessed = true
		c.finish(k, status.Error(codes.Unavailable, "the connection is ending, and the server has not looked at the call"))
	}
}

// finish ends a call, and takes it out of the queue in which it is: on a connection that has come to a halt, those would pile up that every
// caller has left. The mutex is held.
func (c *conn) finish(k *call, err error) {
	if k.finished {
		return
	}
	k.finished, k.err = true, err
	if k.id == 0 {
		c.waiting = without(c.waiting, k)
	} else {
		if k.sent < k.total {
			c.sending = without(c.sending, k)
		}
		delete(c.calls, k.id)
		if len(c.waiting) > 0 {
			c.more.Signal() // one more may be opened
		}
	}
	k.release()
	close(k.done)
	c.checkDrained()
}

func without(queue []*call, k *call) []*call {
	if i := slices.Index(queue, k); i >= 0 {
		return slices.Delete(queue, i, i+1)
	}
	return queue
}

// checkDrained ends a connection that begins no more calls after its last one. The mutex is held.
func (c *conn) checkDrained() {
	if c.draining && len(c.calls) == 0 && len(c.waiting) == 0 {
		_ = c.net.Close() // which the reading goroutine sees
	}
}

// drain begins no more calls, and gives those back that wait. The mutex is held.
func (c *conn) drain() {
	c.client.lost(c)
	c.draining = true
	waiting := c.waiting
	c.waiting = nil
	for _, k := range waiting {
		c.giveBack(k)
	}
	c.checkDrained()
}

// fail ends the connection and its calls.
func (c *conn) fail(err error) {
	_ = c.net.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.drain()
	told := err
	if _, has := status.FromError(err); !has {
		told = status.Errorf(codes.Unavailable, "the connection has ended: %v", err)
	}
	for _, k := range c.calls {
		c.finish(k, told)
	}
	c.more.Signal()
}
