package grpcclient

import (
	"encoding/binary"
	"math"
	"net"
	"runtime"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The rule by which grpc-go's loopyWriter puts frames together, which is also ours: a frame has 16 KiB at most, the calls with something to
// send take turns, frame by frame, opening calls comes between, and what has come together by then is written in one go, up to 32 KiB. If it
// is less than 1000 bytes, other goroutines may add to it first.
const (
	maxFrame  = 16 << 10
	maxWrite  = 32 << 10
	smallRest = 1000
)

// maxStreamID is the last number that a connection has for a call.
const maxStreamID = math.MaxInt32

// output collects what is written at once: frames that it copies, and messages that it refers to.
type output struct {
	copied  []byte
	cut     int // copied up to here stands in buffers
	buffers net.Buffers
	size    int
	calls   []*call // whose messages stand in buffers
}

// Write implements io.Writer for an http2.Framer.
func (o *output) Write(b []byte) (int, error) {
	o.copied = append(o.copied, b...)
	o.size += len(b)
	return len(b), nil
}

// refer adds bytes of a call's message.
func (o *output) refer(k *call, b []byte) {
	o.close()
	o.buffers = append(o.buffers, b)
	o.size += len(b)
	if !k.writing {
		k.writing = true
		o.calls = append(o.calls, k)
	}
}

// close moves what was copied to what is written. Copied may grow into new memory later; the buffers keep the old one.
func (o *output) close() {
	if o.cut < len(o.copied) {
		o.buffers = append(o.buffers, o.copied[o.cut:])
		o.cut = len(o.copied)
	}
}

// release makes an output empty, and gives its messages back. The connection's mutex is held.
func (o *output) release() {
	for _, k := range o.calls {
		k.writing = false
		k.release()
	}
	clear(o.calls)
	*o = output{copied: o.copied[:0], buffers: o.buffers[:0], calls: o.calls[:0]}
}

// write writes until the connection ends.
func (c *conn) write() {
	var batch output
	for c.gather(&batch) {
		buffers := batch.buffers // WriteTo takes them off
		if _, err := buffers.WriteTo(c.net); err != nil {
			c.fail(err)
		}
	}
}

// gather waits for something to write, and exchanges it for what was written. It reports whether the connection is still good.
func (c *conn) gather(batch *output) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch.release()
	for yielded := false; c.err == nil; {
		c.collect()
		switch {
		case c.output.size == 0:
			c.more.Wait()
		case c.output.size < smallRest && !yielded:
			yielded = true
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		default:
			c.output.close()
			*batch, c.output = c.output, *batch
			return true
		}
	}
	c.output.release()
	return false
}

// collect opens calls and sends their messages as far as the windows go.
func (c *conn) collect() {
	for c.output.size < maxWrite {
		opened := c.openNext()
		if !c.sendNext() && !opened {
			return
		}
	}
}

// openNext sends the headers of the call that waits for the longest time, if there may be one more.
func (c *conn) openNext() bool {
	if len(c.waiting) == 0 || int64(len(c.calls)) >= c.maxStreams {
		return false
	}
	k := c.waiting[0]
	c.waiting = pop(c.waiting)
	k.id = c.nextID
	c.nextID += 2
	c.calls[k.id] = k
	c.sending = append(c.sending, k)
	c.block.Reset()
	for _, f := range c.fields {
		_ = c.encoder.WriteField(f) // a bytes.Buffer takes everything
	}
	if !k.deadline.IsZero() {
		_ = c.encoder.WriteField(hpack.HeaderField{Name: "grpc-timeout", Value: encodeTimeout(time.Until(k.deadline))})
	}
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: k.id, BlockFragment: c.block.Bytes(), EndHeaders: true})
	if c.nextID > maxStreamID {
		c.drain()
	}
	return true
}

// sendNext sends a frame of the call whose turn it is. It reports false when there is none, or the connection's window is closed.
func (c *conn) sendNext() bool {
	for len(c.sending) > 0 && c.window > 0 {
		k := c.sending[0]
		c.sending = pop(c.sending)
		n := min(int64(k.total-k.sent), c.window, c.streamWindow+k.window, maxFrame)
		if n <= 0 {
			k.stalled = true
			continue
		}
		c.window -= n
		k.window -= n
		c.sendData(k, int(n))
		if k.sent < k.total {
			c.sending = append(c.sending, k)
		}
		return true
	}
	return false
}

func (c *conn) sendData(k *call, n int) {
	var flags http2.Flags
	if k.sent+n == k.total {
		flags = http2.FlagDataEndStream
	}
	header := [9]byte{byte(n >> 16), byte(n >> 8), byte(n), byte(http2.FrameData), byte(flags)}
	binary.BigEndian.PutUint32(header[5:], k.id)
	_, _ = c.output.Write(header[:])
	end := k.sent + n
	if k.sent < prefixSize {
		var prefix [prefixSize]byte
		if c.compressed {
			prefix[0] = 1
		}
		binary.BigEndian.PutUint32(prefix[1:], uint32(k.total-prefixSize))
		upTo := min(end, prefixSize)
		_, _ = c.output.Write(prefix[k.sent:upTo])
		k.sent = upTo
	}
	if k.sent < end {
		c.output.refer(k, k.message.ReadOnlyData()[k.sent-prefixSize:end-prefixSize])
		k.sent = end
	}
	k.release() // where there is nothing but the prefix
}

// pop takes the first call off a queue, whose memory is used again when it is empty.
func pop(queue []*call) []*call {
	queue[0] = nil
	if len(queue) == 1 {
		return queue[:0]
	}
	return queue[1:]
}
