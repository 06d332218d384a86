package unarygrpc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

const (
	// maxFrame is HTTP/2's default, which clients keep to unless they are told otherwise. Frames in front of the data are
	// buffered whole.
	maxFrame = 16 << 10
	// maxHeaderList bounds a call's headers, decompressed; the HTTP/2 way of counting adds 32 bytes to each.
	maxHeaderList = 1 << 20
	// hpackTable is HTTP/2's default size of the table that headers are compressed with.
	hpackTable = 4 << 10
	// window is what a client may send before it hears from us, of a call and of all of a connection's calls. What it bounds
	// is the throughput over a long distance, not memory: what arrives is read as long as messages may be that large. grpc-go's
	// estimate ends at the same value.
	window = 16 << 20
	// maxDefaultWindow is a client's own window until it says otherwise.
	maxDefaultWindow = 64<<10 - 1
)

// tableState is what the client knows of our table for compressing headers, which it has to keep as well.
type tableState uint8

const (
	tableDefault tableState = iota // that it has HTTP/2's default size
	tableShrunk                    // the same, and it has asked for a smaller one: the next headers must say how small it is
	tableEmpty                     // that there is none
)

// conn is one client's connection. One goroutine reads it; calls are answered from theirs.
type conn struct {
	server *Server
	raw    net.Conn // as accepted; closing it ends everything
	net    net.Conn // after the handshake
	reader *bufio.Reader
	framer *http2.Framer
	ctx    context.Context // the calls' parent
	cancel context.CancelFunc

	// Only the reading goroutine uses these.
	received int    // bytes read of which the client has not been told
	ids      uint32 // the number of the last call, accepted or not

	mu     sync.Mutex
	ready  bool   // the handshake is over
	lastID uint32 // the number of the last call that was accepted
	// streams are the calls that are not answered; calls counts those of them, and of the abandoned, that are being handled.
	streams map[uint32]*stream
	calls   int
	// filling is the call whose message is being read into.
	filling *stream
	output  output
	table   tableState
	// peerWindow is what the client lets us send on the connection, peerStreamWindow on each stream at first.
	peerWindow, peerStreamWindow int64
	// parked are answers that wait for the window of the connection, in order.
	parked []*stream
	// leaving says that the client has been told to begin no more calls, draining that those which come are ignored,
	// finishing that the last answer is on its way.
	leaving, draining, finishing bool
	keepalive                    keepaliver
}

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{
		server: s, raw: raw, streams: map[uint32]*stream{},
		peerWindow: maxDefaultWindow, peerStreamWindow: maxDefaultWindow,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.output.room.L = &c.mu
	c.keepalive.born = time.Now()
	return c
}

// serve reads until the connection ends, and returns when its calls have ended too.
func (c *conn) serve() {
	defer c.cleanUp()
	if err := c.handshake(); err != nil {
		return // whoever it was does not speak gRPC: there is nobody to tell
	}
	for {
		if err := c.frame(); err != nil && !c.resetFor(err) {
			c.goAwayFor(err)
			return
		}
		c.flush()
		if !c.throttle() {
			return
		}
	}
}

// cleanUp ends what a connection leaves behind.
func (c *conn) cleanUp() {
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepalive.stop()
	for id, s := range c.streams {
		delete(c.streams, id)
		s.abandon()
	}
	c.parked = nil
	for c.calls > 0 {
		c.output.room.Wait()
	}
}

// close ends the connection at once; the reading goroutine cleans up.
func (c *conn) close() {
	c.cancel()
	_ = c.raw.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.output.fail()
}

// handshake secures the connection and exchanges the first frames.
func (c *conn) handshake() error {
	_ = c.raw.SetDeadline(time.Now().Add(handshakeTimeout))
	c.net = c.raw
	p := &peer.Peer{Addr: c.raw.RemoteAddr(), LocalAddr: c.raw.LocalAddr()}
	if secure := c.server.cfg.Credentials; secure != nil {
		var info credentials.AuthInfo
		var err error
		// Around a connection that is more than a net.Conn the credentials wrap theirs, and hide how it is half closed: see finish.
		if c.net, info, err = secure.ServerHandshake(struct{ net.Conn }{c.raw}); err != nil {
			return err
		}
		p.AuthInfo = info
	}
	c.ctx = peer.NewContext(c.ctx, p)
	if connected := c.server.cfg.Connected; connected != nil {
		c.ctx = connected(c.ctx)
	}
	c.reader = bufio.NewReaderSize(c.net, c.server.cfg.ReadBufferBytes)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.reader, preface); err != nil {
		return err
	}
	if !bytes.Equal(preface, []byte(http2.ClientPreface)) {
		return fmt.Errorf("not HTTP/2: %q", preface)
	}
	c.framer = http2.NewFramer(nil, c.reader)
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.framer.SetReuseFrames()
	c.framer.MaxHeaderListSize = maxHeaderList
	c.framer.ReadMetaHeaders = hpack.NewDecoder(hpackTable, nil)

	c.mu.Lock()
	c.output.pending = appendSettings(c.output.pending, c.server.cfg.MaxConcurrentStreams)
	c.output.pending = appendWindowUpdate(c.output.pending, 0, window-maxDefaultWindow)
	c.mu.Unlock()
	c.flush()
	first, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	settings, is := first.(*http2.SettingsFrame)
	if !is || settings.IsAck() {
		return fmt.Errorf("the first frame is %v, not SETTINGS", first.Header().Type)
	}
	if err := c.settings(settings); err != nil {
		return err
	}
	c.flush()
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if k := c.server.cfg.Keepalive; k.Time < forever { // who asks for no pings lets clients be silent for as long as they like
		if err := setUserTimeout(c.raw, k.Timeout); err != nil {
			return err
		}
	}
	c.begins()
	return nil
}

// frame reads and handles one frame. An http2.StreamError concerns one call, any other error ends the connection.
func (c *conn) frame() error {
	h, err := c.framer.ReadFrameHeader()
	if err != nil {
		return err
	}
	c.keepalive.heard()
	if h.Type == http2.FrameData {
		return c.data(h)
	}
	frame, err := c.framer.ReadFrameForHeader(h)
	if err != nil {
		return c.unreadable(h, err)
	}
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		return c.headers(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.RSTStreamFrame:
		if c.idle(f.StreamID) {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.abandon(f.StreamID)
	case *http2.PingFrame:
		return c.ping(f)
	case *http2.PushPromiseFrame:
		// Clients do not push. The headers in it would have had to be decompressed, too.
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil // GOAWAY says that no more calls will come; PRIORITY and what is not known mean nothing here
}

// idle reports whether a number belongs to no call yet.
func (c *conn) idle(id uint32) bool { return id%2 != 1 || id > c.ids }

// opens reports whether a number is a new call's, and notes it: a client's calls have odd and growing numbers.
func (c *conn) opens(id uint32) bool {
	if id%2 != 1 || id <= c.ids {
		return false
	}
	c.ids = id
	return true
}

// data reads a frame of a call's message into its place.
func (c *conn) data(h http2.FrameHeader) error {
	length := int(h.Length)
	if c.idle(h.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.received += length
	if c.received >= window/2 {
		c.mu.Lock()
		c.output.pending = appendWindowUpdate(c.output.pending, 0, c.received)
		c.mu.Unlock()
		c.received = 0
	}
	padding := 0
	if h.Flags.Has(http2.FlagDataPadded) {
		if length == 0 {
			return http2.ConnectionError(http2.ErrCodeFrameSize)
		}
		b, err := c.reader.ReadByte()
		if err != nil {
			return err
		}
		padding, length = int(b), length-1
		if padding > length {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	s := c.reading(h.StreamID)
	if s == nil {
		_, err := c.reader.Discard(length)
		return err
	}
	if err := s.read(c.reader, length-padding, c.server.cfg.MaxMessageBytes); err != nil {
		return err
	}
	if _, err := c.reader.Discard(padding); err != nil {
		return err
	}
	switch {
	case h.Flags.Has(http2.FlagDataEndStream):
		c.ended(s)
	case s.fault != nil:
		c.refuseUnreadable(s, false)
	default:
		c.replenish(s, int(h.Length))
	}
	return nil
}

// ended handles a call that its client has sent all of.
func (c *conn) ended(s *stream) {
	if s.complete(); s.fault != nil {
		c.refuseUnreadable(s, true)
		return
	}
	c.begin(s)
}

// reading returns a call whose message is not complete, or nil. Until the frame has been read nobody else touches the message.
func (c *conn) reading(id uint32) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filling = nil
	if s := c.streams[id]; s != nil && !s.begun {
		c.filling = s
	}
	return c.filling
}

// drain lets the calls under way end and begins no others.
func (c *conn) drain() {
	c.mu.Lock()
	if !c.ready {
		c.mu.Unlock()
		c.close() // it has no calls, and need not hear of the end in HTTP/2
		return
	}
	c.startDraining("")
	c.wakeBy(time.Now()) // sees to it that it comes to an end
	c.mu.Unlock()
	c.flush()
}
