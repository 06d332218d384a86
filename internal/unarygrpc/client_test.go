package unarygrpc

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// client speaks HTTP/2 frame by frame, and may break all of its rules.
type client struct {
	t      testing.TB
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder
	// events are the frames that the server sent; it is closed with the connection.
	events chan event
	silent bool // pings are not answered
}

// event is a frame, of which those parts are filled in that its type has.
type event struct {
	kind      http2.FrameType
	id        uint32
	fields    map[string]string
	data      []byte
	end, ack  bool
	code      http2.ErrCode
	last      uint32 // of GOAWAY
	increment uint32
	settings  map[http2.SettingID]uint32
}

// dial opens a connection and shakes hands.
func dial(t testing.TB, address string, settings ...http2.Setting) *client {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	c := newClient(t, conn)
	c.shake(settings...)
	return c
}

// newClient reads a connection; nothing is sent yet.
func newClient(t testing.TB, conn net.Conn) *client {
	c := unread(t, conn)
	c.events = make(chan event, 100_000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	return c
}

// unread is a client that does not read.
func unread(t testing.TB, conn net.Conn) *client {
	c := &client{t: t, conn: conn, framer: http2.NewFramer(conn, conn)}
	c.framer.AllowIllegalWrites = true
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(hpackTable, nil)
	c.hpack = hpack.NewEncoder(&c.block)
	t.Cleanup(func() { _ = conn.Close() })
	return c
}

func (c *client) shake(settings ...http2.Setting) {
	c.raw(http2.ClientPreface)
	c.sent(c.framer.WriteSettings(settings...))
}

func (c *client) read() {
	defer close(c.events)
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		h := frame.Header()
		e := event{kind: h.Type, id: h.StreamID}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			e.end, e.fields = f.StreamEnded(), map[string]string{}
			for _, field := range f.Fields {
				e.fields[field.Name] = field.Value
			}
		case *http2.DataFrame:
			e.end, e.data = f.StreamEnded(), bytes.Clone(f.Data())
		case *http2.RSTStreamFrame:
			e.code = f.ErrCode
		case *http2.GoAwayFrame:
			e.code, e.last, e.data = f.ErrCode, f.LastStreamID, bytes.Clone(f.DebugData())
		case *http2.WindowUpdateFrame:
			e.increment = f.Increment
		case *http2.PingFrame:
			e.ack, e.data = f.IsAck(), f.Data[:]
		case *http2.SettingsFrame:
			e.ack, e.settings = f.IsAck(), map[http2.SettingID]uint32{}
			_ = f.ForeachSetting(func(s http2.Setting) error {
				e.settings[s.ID] = s.Val
				return nil
			})
		}
		c.events <- e
	}
}

// sent fails the test when a frame could not be sent.
func (c *client) sent(err error) { require.NoError(c.t, err) }

func (c *client) raw(b string) {
	_, err := io.WriteString(c.conn, b)
	c.sent(err)
}

// request are the headers of a good call, with others instead or in addition; an empty value takes one away.
func request(fields ...string) []hpack.HeaderField {
	all := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path}, {Name: ":authority", Value: "test"},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	basic := len(all)
next:
	for i := 0; i < len(fields); i += 2 {
		for j := range basic {
			if all[j].Name == fields[i] {
				all[j].Value = fields[i+1]
				continue next
			}
		}
		all = append(all, hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	var kept []hpack.HeaderField
	for _, f := range all {
		if f.Value != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// encode returns headers, compressed.
func (c *client) encode(fields []hpack.HeaderField) []byte {
	c.block.Reset()
	for _, f := range fields {
		c.sent(c.hpack.WriteField(f))
	}
	return bytes.Clone(c.block.Bytes())
}

// open begins a call; the fields are those of request.
func (c *client) open(id uint32, fields ...string) {
	block := c.encode(request(fields...))
	first := block[:min(len(block), maxFrame)]
	c.sent(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndHeaders: len(first) == len(block)}))
	for block = block[len(first):]; len(block) > 0; {
		next := block[:min(len(block), maxFrame)]
		block = block[len(next):]
		c.sent(c.framer.WriteContinuation(id, len(block) == 0, next))
	}
}

// message returns a message with its prefix.
func message(body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// call begins a call and sends its message.
func (c *client) call(id uint32, body string, fields ...string) {
	c.open(id, fields...)
	c.sent(c.framer.WriteData(id, true, message(body)))
}

// next returns the next frame of one of some types, of a call or of any (0); false: the connection ended. Pings are answered.
func (c *client) next(id uint32, kinds ...http2.FrameType) (event, bool) {
	for e := range c.events {
		if e.kind == http2.FramePing && !e.ack && !c.silent {
			_ = c.framer.WritePing(true, [8]byte(e.data))
		}
		if id != 0 && e.id != id {
			continue
		}
		for _, k := range kinds {
			if e.kind == k {
				return e, true
			}
		}
	}
	return event{}, false
}

// ends waits for the end of the connection and returns its GOAWAY frames.
func (c *client) ends() (goAways []event) {
	for {
		e, more := c.next(0, http2.FrameGoAway)
		if !more {
			return goAways
		}
		goAways = append(goAways, e)
	}
}

// outcome is how a call ended.
type outcome struct {
	http  string // :status
	code  codes.Code
	reset bool
	rst   http2.ErrCode
	text  string
	body  []byte
}

// outcome waits for a call's end.
func (c *client) outcome(id uint32) (o outcome) {
	for {
		e, more := c.next(id, http2.FrameHeaders, http2.FrameData, http2.FrameRSTStream)
		require.True(c.t, more, "the connection ended before call %d", id)
		if e.kind == http2.FrameRSTStream {
			o.reset, o.rst = true, e.code
			return o
		}
		o.body = append(o.body, e.data...)
		if s := e.fields[":status"]; s != "" {
			o.http = s
		}
		if s := e.fields["grpc-status"]; s != "" {
			n, err := strconv.Atoi(s)
			require.NoError(c.t, err)
			o.code, o.text = codes.Code(n), e.fields["grpc-message"]
		}
		if e.end {
			return o
		}
	}
}

// answered checks that a call was answered.
func (c *client) answered(id uint32) {
	c.t.Helper()
	require.Equal(c.t, outcome{http: "200", body: message(string(answer))}, c.outcome(id))
}

// pong waits until the server has handled all that was sent before.
func (c *client) pong() {
	c.t.Helper()
	data := [8]byte{'p', 'o', 'n', 'g', byte(time.Now().UnixNano())}
	c.sent(c.framer.WritePing(false, data))
	for {
		e, more := c.next(0, http2.FramePing)
		require.True(c.t, more)
		if e.ack && bytes.Equal(e.data, data[:]) {
			return
		}
	}
}
