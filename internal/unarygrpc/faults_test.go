package unarygrpc

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
)

// frame returns a frame, which may be none.
func frame(kind http2.FrameType, flags http2.Flags, id uint32, payload string) string {
	return string(append(appendFrame(nil, len(payload), kind, flags, id), payload...))
}

func uint32s(values ...uint32) string {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return string(b)
}

const setWindow = "\x00\x04" // SETTINGS_INITIAL_WINDOW_SIZE

// fault is what ends a connection. Before it, call 1 has been answered and call 3 waits for its message.
type fault struct {
	name string
	sent string
	code http2.ErrCode // of the GOAWAY frame; noGoAway: the connection only ends
}

const noGoAway = http2.ErrCode(1 << 31)

var faults = []fault{
	{"DATA of no call", frame(http2.FrameData, 0, 0, "x"), http2.ErrCodeProtocol},
	{"DATA of an idle call", frame(http2.FrameData, 0, 5, "x"), http2.ErrCodeProtocol},
	{"DATA of a server's call", frame(http2.FrameData, 0, 2, "x"), http2.ErrCodeProtocol},
	{"DATA with more padding than frame", frame(http2.FrameData, http2.FlagDataPadded, 3, "\x05x"), http2.ErrCodeProtocol},
	{"DATA padded without a length", frame(http2.FrameData, http2.FlagDataPadded, 3, ""), http2.ErrCodeFrameSize},
	{"DATA too large", frame(http2.FrameData, 0, 3, strings.Repeat("x", maxFrame+1)), http2.ErrCodeFrameSize},
	{"HEADERS of no call", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, "\x82"), http2.ErrCodeProtocol},
	{"HEADERS with an even number", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 6, "\x82"), http2.ErrCodeProtocol},
	{"HEADERS with a number used before", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x82"), http2.ErrCodeProtocol},
	{"HEADERS a second time", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 3, "\x82"), http2.ErrCodeProtocol},
	{"malformed HEADERS a second time", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 3, "\x00\x01A\x01x"), http2.ErrCodeProtocol},
	{"HEADERS with more padding than frame", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 5, "\x09\x82"), http2.ErrCodeProtocol},
	{"HEADERS padded without a length", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 5, ""), noGoAway},
	{"HEADERS that cannot be decompressed", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 5, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), http2.ErrCodeCompression},
	{"HEADERS with an entry that is not in the table", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 5, "\xfe"), http2.ErrCodeCompression},
	{"HEADERS with a table that is too large", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 5, "\x3f\xe2\x1f"), http2.ErrCodeCompression},
	{"HEADERS cut in a string", frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 5, "\x00\x05ab"), http2.ErrCodeCompression},
	{"another frame within HEADERS", frame(http2.FrameHeaders, 0, 5, "\x82") + frame(http2.FramePing, 0, 0, "12345678"), http2.ErrCodeProtocol},
	{"CONTINUATION of another call", frame(http2.FrameHeaders, 0, 5, "\x82") + frame(http2.FrameContinuation, 0, 3, "\x82"), http2.ErrCodeProtocol},
	{"CONTINUATION without HEADERS", frame(http2.FrameContinuation, http2.FlagContinuationEndHeaders, 3, "\x82"), http2.ErrCodeProtocol},
	{"CONTINUATION flood", frame(http2.FrameHeaders, 0, 5, "\x82") + strings.Repeat(
		frame(http2.FrameContinuation, 0, 5, "\x00\x01x\x7f\x81\x7d"+strings.Repeat("v", 16_128)), 80), http2.ErrCodeProtocol},
	{"RST_STREAM of an idle call", frame(http2.FrameRSTStream, 0, 5, uint32s(8)), http2.ErrCodeProtocol},
	{"RST_STREAM of no call", frame(http2.FrameRSTStream, 0, 0, uint32s(8)), http2.ErrCodeProtocol},
	{"RST_STREAM of another size", frame(http2.FrameRSTStream, 0, 3, "x"), http2.ErrCodeFrameSize},
	{"PRIORITY of another size", frame(http2.FramePriority, 0, 3, "x"), http2.ErrCodeFrameSize},
	{"PUSH_PROMISE", frame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 3, uint32s(2)+"\x82"), http2.ErrCodeProtocol},
	{"PING of another size", frame(http2.FramePing, 0, 0, "1234567"), http2.ErrCodeFrameSize},
	{"PING of a call", frame(http2.FramePing, 0, 3, "12345678"), http2.ErrCodeProtocol},
	{"GOAWAY of a call", frame(http2.FrameGoAway, 0, 3, uint32s(0, 0)), http2.ErrCodeProtocol},
	{"SETTINGS of a call", frame(http2.FrameSettings, 0, 3, ""), http2.ErrCodeProtocol},
	{"SETTINGS of another size", frame(http2.FrameSettings, 0, 0, "x"), http2.ErrCodeFrameSize},
	{"SETTINGS acknowledged with settings", frame(http2.FrameSettings, http2.FlagSettingsAck, 0, setWindow+uint32s(1)), http2.ErrCodeFrameSize},
	{"SETTINGS with a window that is too large", frame(http2.FrameSettings, 0, 0, setWindow+uint32s(1<<31)), http2.ErrCodeFlowControl},
	{"SETTINGS with one that is too large after another", frame(http2.FrameSettings, 0, 0, setWindow+uint32s(1)+setWindow+uint32s(1<<31)), http2.ErrCodeFlowControl},
	{"SETTINGS that make a call's window too large", frame(http2.FrameWindowUpdate, 0, 3, uint32s(1)) +
		frame(http2.FrameSettings, 0, 0, setWindow+uint32s(1<<31-1)), http2.ErrCodeFlowControl},
	{"WINDOW_UPDATE of nothing", frame(http2.FrameWindowUpdate, 0, 0, uint32s(0)), http2.ErrCodeProtocol},
	{"WINDOW_UPDATE of an idle call", frame(http2.FrameWindowUpdate, 0, 5, uint32s(1)), http2.ErrCodeProtocol},
	{"WINDOW_UPDATE of nothing of an idle call", frame(http2.FrameWindowUpdate, 0, 5, uint32s(0)), http2.ErrCodeProtocol},
	{"WINDOW_UPDATE that is too large", frame(http2.FrameWindowUpdate, 0, 0, uint32s(1<<31-1)), http2.ErrCodeFlowControl},
	{"WINDOW_UPDATE of another size", frame(http2.FrameWindowUpdate, 0, 0, "x"), http2.ErrCodeFrameSize},
	{"HTTP/1", "GET / HTTP/1.1\r\nHost: test\r\n\r\n", http2.ErrCodeFrameSize},
}

func TestConnectionErrors(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			_, address := serve(t, Config{}, accept)
			c := dial(t, address)
			c.call(1, "x")
			c.answered(1)
			c.open(3)
			c.sent(c.framer.WriteData(3, false, message("xyz")[:6]))
			_, _ = c.conn.Write([]byte(f.sent)) // it may not be read to its end
			goAways := c.ends()
			if f.code == noGoAway {
				assert.Empty(t, goAways)
				return
			}
			require.Len(t, goAways, 1)
			assert.Equal(t, f.code, goAways[0].code)
			assert.EqualValues(t, 3, goAways[0].last)
		})
	}
}

// What is allowed, or concerns one call only, leaves the connection as it is.
func TestNoConnectionErrors(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	c := dial(t, address)
	c.call(1, "x")
	c.answered(1)
	id := uint32(3)
	for name, sent := range map[string]string{
		"unknown frame":                frame(0xee, 0xff, 0, "what is this"),
		"PRIORITY of an idle call":     frame(http2.FramePriority, 0, 99, uint32s(0)+"\x00"),
		"unknown settings":             frame(http2.FrameSettings, 0, 0, "\x0f\x0f"+uint32s(7)),
		"DATA of an answered call":     frame(http2.FrameData, http2.FlagDataEndStream, 1, "late"),
		"padded DATA of one":           frame(http2.FrameData, http2.FlagDataPadded, 1, "\x02late\x00\x00"),
		"RST_STREAM of one":            frame(http2.FrameRSTStream, 0, 1, uint32s(8)),
		"WINDOW_UPDATE of one":         frame(http2.FrameWindowUpdate, 0, 1, uint32s(9)),
		"empty WINDOW_UPDATE of one":   frame(http2.FrameWindowUpdate, 0, 1, uint32s(0)),
		"PING that was not asked":      frame(http2.FramePing, http2.FlagPingAck, 0, "leaving\x00"),
		"SETTINGS acknowledged":        frame(http2.FrameSettings, http2.FlagSettingsAck, 0, ""),
		"trailers of an answered call": frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, trailers),
		"GOAWAY":                       frame(http2.FrameGoAway, 0, 0, uint32s(0, 0)),
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.raw(sent)
			c.call(id, "x")
			c.answered(id)
			id += 2
		})
	}
}

const trailers = "\x00\x01a\x01b"

func TestTrailersEndACall(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	c := dial(t, address)
	end := func(id uint32) {
		c.raw(frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, trailers))
	}
	c.open(1)
	c.sent(c.framer.WriteData(1, false, message("x")))
	end(1)
	c.answered(1)
	c.open(3)
	c.sent(c.framer.WriteData(3, false, message("x")[:3]))
	end(3)
	assert.Equal(t, codes.Internal, c.outcome(3).code, "the message is not complete")
	c.call(5, "x")
	c.answered(5)
}

// The client of a call with malformed headers may have sent its message already.
func TestTheMessageOfAMalformedCallIsReadOver(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	c := dial(t, address)
	c.call(1, "x", "Upper", "x")
	c.call(3, "x", "Upper", "x")
	c.call(5, "x")
	assert.Equal(t, http2.ErrCodeProtocol, c.outcome(1).rst)
	assert.Equal(t, http2.ErrCodeProtocol, c.outcome(3).rst)
	c.answered(5)
}

// Frames may be cut and padded in any way, and end the call in any of them.
func TestFramesOfAllShapes(t *testing.T) {
	got := make(chan string, 1)
	_, address := serve(t, Config{}, func(_ context.Context, m mem.BufferSlice) error {
		got <- string(m.Materialize())
		return nil
	})
	c := dial(t, address)
	whole := string(message("hello"))
	id := uint32(1)
	for cut := range len(whole) + 1 {
		for _, padding := range []string{"", "\x00", "\x00\x00\x00\x00\x00\x00\x00"} {
			shape := func(end http2.Flags, b string) string {
				if padding == "" {
					return frame(http2.FrameData, end, id, b)
				}
				return frame(http2.FrameData, end|http2.FlagDataPadded, id, string(rune(len(padding)))+b+padding)
			}
			for _, body := range []func() string{
				func() string { return shape(0, whole[:cut]) + shape(http2.FlagDataEndStream, whole[cut:]) },
				func() string {
					return shape(0, whole[:cut]) + shape(0, "") + shape(0, whole[cut:]) + shape(http2.FlagDataEndStream, "")
				},
			} {
				c.open(id)
				c.raw(body())
				c.answered(id)
				require.Equal(t, "hello", <-got)
				id += 2
			}
		}
	}
}

// Whoever does not speak HTTP/2 is not answered, and its connection ends.
func TestWhatIsNoHTTP2(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	preface := http2.ClientPreface
	for name, sent := range map[string]string{
		"HTTP/1":             "POST /test.Service/Call HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
		"another frame":      preface + frame(http2.FramePing, 0, 0, "12345678"),
		"acknowledged first": preface + frame(http2.FrameSettings, http2.FlagSettingsAck, 0, ""),
		"bad settings":       preface + frame(http2.FrameSettings, 0, 0, setWindow+uint32s(1<<31)),
		"large settings":     preface + frame(http2.FrameSettings, 0, 0, strings.Repeat("x", maxFrame+2)),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			c := newClient(t, conn)
			_, _ = conn.Write([]byte(sent))
			assert.Empty(t, c.ends())
		})
	}
}
