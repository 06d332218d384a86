package grpcclient

import (
	"math"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxAnswer is the largest answer with its prefix, before and after decompression: grpc-go's default.
const maxAnswer = prefixSize + 4<<20

// ping is what grpc-go's client asks the server to repeat, whenever data has come and no ping is under way, to measure how much one round trip
// carries. A server of another client would have less to do.
var ping = [8]byte{2, 4, 16, 16, 9, 14, 7, 7}

// frame handles one frame. An http2.StreamError concerns one call, any other error ends the connection. The mutex is held.
func (c *conn) frame(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		c.headers(f)
	case *http2.DataFrame:
		c.data(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.WindowUpdateFrame:
		return c.windowUpdate(f)
	case *http2.RSTStreamFrame:
		c.resetByServer(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = c.framer.WritePing(true, f.Data)
			c.more.Signal()
		} else if f.Data == ping {
			c.pinged = false
		}
	case *http2.GoAwayFrame:
		c.goAway(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // servers of gRPC do not push
	}
	return nil // PRIORITY, and what is not known, mean nothing here
}

// data takes a part of an answer. The window of the connection is given back before anybody looks at what came, as grpc-go does.
func (c *conn) data(f *http2.DataFrame) {
	c.unread += int(f.Length)
	if !c.pinged || c.unread >= defaultWindow/4 {
		c.replenish(0, &c.unread)
	}
	if !c.pinged {
		c.pinged = true
		_ = c.framer.WritePing(false, ping)
		c.more.Signal()
	}
	k := c.calls[f.StreamID]
	if k == nil {
		return
	}
	switch {
	case !k.headed:
		c.abandon(k, http2.ErrCodeProtocol, status.New(codes.Internal, "an answer without headers"))
		return
	case len(k.received)+len(f.Data()) > maxAnswer:
		c.abandon(k, http2.ErrCodeCancel, status.Newf(codes.ResourceExhausted, "the answer has more than %d bytes", maxAnswer))
		return
	}
	k.received = append(k.received, f.Data()...)
	if f.StreamEnded() {
		c.abandon(k, http2.ErrCodeNo, status.New(codes.Internal, "the server ended the answer without trailers"))
		return
	}
	if k.unread += int(f.Length); k.unread >= defaultWindow/4 {
		c.replenish(k.id, &k.unread)
	}
}

func (c *conn) replenish(id uint32, unread *int) {
	if *unread == 0 {
		return
	}
	_ = c.framer.WriteWindowUpdate(id, uint32(*unread))
	*unread = 0
	c.more.Signal()
}

// settings takes over what the server asks for. The size of frames is below any that it may ask for.
func (c *conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	for i := range f.NumSettings() {
		switch s := f.Setting(i); s.ID {
		case http2.SettingInitialWindowSize:
			if s.Val > math.MaxInt32 {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
			c.streamWindow = int64(s.Val)
			for _, k := range c.calls {
				c.resume(k)
			}
		case http2.SettingMaxConcurrentStreams:
			c.maxStreams = int64(s.Val)
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(s.Val)
		}
	}
	_ = c.framer.WriteSettingsAck()
	c.more.Signal()
	return nil
}

// resume has a call send again whose window was closed.
func (c *conn) resume(k *call) {
	if k.stalled && c.streamWindow+k.window > 0 {
		k.stalled = false
		c.sending = append(c.sending, k)
		c.more.Signal()
	}
}

func (c *conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.more.Signal()
		return nil
	}
	if k := c.calls[f.StreamID]; k != nil {
		if k.window += int64(f.Increment); c.streamWindow+k.window > math.MaxInt32 {
			return http2.StreamError{StreamID: k.id, Code: http2.ErrCodeFlowControl}
		}
		c.resume(k)
	}
	return nil
}

// resetCodes are the statuses of what a server resets, by the gRPC specification ("Errors" under HTTP2 Transport Mapping).
var resetCodes = map[http2.ErrCode]codes.Code{
	http2.ErrCodeFlowControl:        codes.ResourceExhausted,
	http2.ErrCodeRefusedStream:      codes.Unavailable,
	http2.ErrCodeCancel:             codes.Canceled,
	http2.ErrCodeEnhanceYourCalm:    codes.ResourceExhausted,
	http2.ErrCodeInadequateSecurity: codes.PermissionDenied,
}

func (c *conn) resetByServer(f *http2.RSTStreamFrame) {
	k := c.calls[f.StreamID]
	if k == nil {
		return
	}
	code, known := resetCodes[f.ErrCode]
	switch {
	case f.ErrCode == http2.ErrCodeRefusedStream:
		c.giveBack(k)
		return
	case !known:
		code = codes.Internal
	case code == codes.Canceled && k.expired():
		code = codes.DeadlineExceeded
	}
	c.finish(k, status.Errorf(code, "the server ended the call with %v", f.ErrCode))
}

// goAway begins no more calls, and gives those back that the server will not look at.
func (c *conn) goAway(f *http2.GoAwayFrame) {
	c.drain()
	for id, k := range c.calls {
		if id > f.LastStreamID {
			c.giveBack(k)
		}
	}
}
