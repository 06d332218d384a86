package unarygrpc

import (
	"cmp"
	"math"
	"slices"

	"golang.org/x/net/http2"
)

// replenish lets the client send more of a message that is larger than its window. The frame has been read.
func (c *conn) replenish(s *stream, read int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filling = nil
	s.received += read
	if s.received >= window/2 {
		c.output.pending = appendWindowUpdate(c.output.pending, s.id, s.received)
		s.received = 0
	}
}

// settings takes over what the client asks for. The sizes of frames and headers we send are below any that it may ask for, and so is
// that of the table headers are compressed with, as there is none; but a client that allows less than the default must hear so.
func (c *conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	resized := int64(-1)
	for i := range f.NumSettings() {
		switch s := f.Setting(i); s.ID {
		case http2.SettingHeaderTableSize:
			if s.Val < hpackTable && c.table == tableDefault {
				c.table = tableShrunk
			}
		case http2.SettingInitialWindowSize:
			if resized = int64(s.Val); resized > math.MaxInt32 {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		}
	}
	if resized >= 0 { // the last one says it all, and each costs a look at every call
		if err := c.resizeWindows(resized); err != nil {
			return err
		}
	}
	c.output.pending = appendSettingsAck(c.output.pending)
	return nil
}

// beginHeaders returns what the next block of headers begins with. The mutex is held.
func (c *conn) beginHeaders() string {
	if c.table != tableShrunk {
		return ""
	}
	c.table = tableEmpty
	return emptyTable
}

// windowUpdate lets answers go that waited for it.
func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		c.peerWindow += int64(f.Increment)
		if c.peerWindow > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.unpark()
		return nil
	}
	if c.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if s := c.streams[f.StreamID]; s != nil {
		s.peerWindow += int64(f.Increment)
		if c.peerStreamWindow+s.peerWindow > math.MaxInt32 {
			return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeFlowControl}
		}
		c.release(s)
	}
	return nil
}

// release sends the answer of a call, if it has been answered and as soon as the client's windows have room. Waiting for its own window,
// it is in nobody's way; for that of the connection, one waits behind the other. The mutex is held.
func (c *conn) release(s *stream) {
	size := s.answerBytes()
	switch {
	case !s.answered || s.parked || size > c.peerStreamWindow+s.peerWindow:
	case len(c.parked) > 0 || size > c.peerWindow:
		s.parked = true
		c.parked = append(c.parked, s)
	default:
		c.send(s)
	}
}

func (s *stream) answerBytes() int64 { return int64(prefixSize + len(s.method.Answer)) }

func (c *conn) send(s *stream) {
	c.peerWindow -= s.answerBytes()
	c.output.pending = appendAnswer(c.output.pending, s.id, c.beginHeaders(), s.method.Answer)
	c.remove(s)
}

// unpark sends the answers for which the connection's window has room now. The mutex is held.
func (c *conn) unpark() {
	gone := 0
	for gone < len(c.parked) && c.parked[gone].answerBytes() <= c.peerWindow {
		s := c.parked[gone]
		gone++
		s.parked = false
		if s.answerBytes() <= c.peerStreamWindow+s.peerWindow { // which may have become smaller
			c.send(s)
		}
	}
	c.parked = slices.Delete(c.parked, 0, gone)
}

// leaveLine takes an answer out of those that wait for the connection's window.
func (c *conn) leaveLine(s *stream) {
	i := slices.Index(c.parked, s)
	c.parked = slices.Delete(c.parked, i, i+1)
	s.parked = false
}

// resizeWindows takes over the window that every call has. The mutex is held.
func (c *conn) resizeWindows(size int64) error {
	c.peerStreamWindow = size
	var waiting []*stream
	for _, s := range c.streams {
		if size+s.peerWindow > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		if s.answered {
			waiting = append(waiting, s)
		}
	}
	slices.SortFunc(waiting, func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	for _, s := range waiting {
		c.release(s)
	}
	return nil
}
