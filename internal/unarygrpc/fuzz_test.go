package unarygrpc

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// written is what a client sends, without a server.
type written struct{ sent []byte }

func (w *written) Read([]byte) (int, error)         { return 0, io.EOF }
func (w *written) Write(b []byte) (int, error)      { w.sent = append(w.sent, b...); return len(b), nil }
func (w *written) Close() error                     { return nil }
func (w *written) LocalAddr() net.Addr              { return nil }
func (w *written) RemoteAddr() net.Addr             { return nil }
func (w *written) SetDeadline(time.Time) error      { return nil }
func (w *written) SetReadDeadline(time.Time) error  { return nil }
func (w *written) SetWriteDeadline(time.Time) error { return nil }

// record returns the bytes that a client sends.
func record(f *testing.F, send func(c *client)) []byte {
	w := &written{}
	c := &client{t: f, conn: w, framer: http2.NewFramer(w, w)}
	c.framer.AllowIllegalWrites = true
	c.hpack = hpack.NewEncoder(&c.block)
	send(c)
	return w.sent
}

// Whatever comes after a preface, nothing panics, the connection ends when its client does, and every buffer is given back.
func FuzzConn(f *testing.F) {
	for _, r := range refusals {
		f.Add(record(f, func(c *client) {
			c.open(1, r.fields...)
			c.sent(c.framer.WriteData(1, !r.open, r.body))
			c.call(3, "x")
		}))
	}
	for _, w := range faults {
		if len(w.sent) > 10_000 {
			continue
		}
		f.Add(record(f, func(c *client) {
			c.call(1, "x")
			c.open(3)
			c.sent(c.framer.WriteData(3, false, message("xyz")[:6]))
			c.raw(w.sent)
		}))
	}
	f.Add(record(f, func(c *client) {
		c.sent(c.framer.WriteSettings(initialWindow(0)))
		c.call(1, string(make([]byte, 5000)), "grpc-encoding", "gzip", "grpc-timeout", "1m")
		c.call(3, string(make([]byte, 5000)))
		c.sent(c.framer.WriteRSTStream(3, http2.ErrCodeCancel))
		c.sent(c.framer.WriteWindowUpdate(1, 100))
		c.sent(c.framer.WriteGoAway(0, http2.ErrCodeNo, nil))
	}))
	f.Add(record(f, func(c *client) {
		for id := uint32(1); id <= 5; id += 2 {
			c.open(id)
			c.sent(c.framer.WriteData(id, false, message(string(make([]byte, 9000)))[:6000]))
		}
		c.sent(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
		c.sent(c.framer.WriteData(3, true, nil))
	}))
	f.Fuzz(func(t *testing.T, sent []byte) {
		pool := bufpool.New(bufpool.Config{})
		cfg := Config{
			Buffers: pool, MaxMessageBytes: 10_000, MaxConcurrentStreams: 5,
			Methods:  map[string]Method{path: {Handle: func(context.Context, mem.BufferSlice) error { return nil }, Answer: answer}},
			Incoming: func(ctx context.Context, _ metadata.MD) (context.Context, error) { return ctx, nil },
		}
		s := New(cfg)
		ours, theirs := net.Pipe()
		s.conns.Begin(theirs)
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, ours) })
		_, _ = io.WriteString(ours, http2.ClientPreface+frame(http2.FrameSettings, 0, 0, ""))
		_, _ = ours.Write(sent)
		_ = ours.Close()
		s.conns.Wait() // the server sees the end by itself
		reading.Wait()
		s.Stop()
		if n := pool.Stats().InUse; n != 0 {
			t.Errorf("%d buffers were not given back", n)
		}
	})
}
