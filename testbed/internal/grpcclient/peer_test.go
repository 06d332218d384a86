package grpcclient

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const method = "/test.Service/Call"

var testBackoff = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 2, MaxDelay: time.Second}

// answer is what a call came to.
type answer struct {
	message string
	err     error
}

// start makes a call in a goroutine of its own.
func (c *Client) start(ctx context.Context, message string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		b, err := c.Call(ctx, mem.SliceBuffer(message))
		done <- answer{string(b), err}
	}()
	return done
}

// frame is what a peer has read.
type frame struct {
	http2.FrameHeader
	payload []byte
	fields  []hpack.HeaderField
}

// peer is a server that says what a test has it say.
type peer struct {
	*http2.Framer
	net    net.Conn
	frames chan frame // but acknowledgements of settings; closed at the end
}

// newPair returns a client, and the servers of the connections that it makes, in order. They have exchanged no frames.
func newPair(t *testing.T) (*Client, <-chan *peer) {
	t.Helper()
	peers := make(chan *peer, 10)
	c := New(Config{Address: "server:4317", Method: method, Backoff: testBackoff, MinConnectTimeout: time.Second,
		Dial: func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			peers <- newPeer(theirs)
			return ours, nil
		}})
	t.Cleanup(c.Close)
	return c, peers
}

func newPeer(conn net.Conn) *peer {
	p := &peer{Framer: http2.NewFramer(conn, conn), net: conn, frames: make(chan frame, 1000)}
	p.ReadMetaHeaders = hpack.NewDecoder(hpackTable, nil)
	p.AllowIllegalWrites = true
	return p
}

// greet exchanges the first frames, and has the others read from then on.
func (p *peer) greet(t *testing.T, settings ...http2.Setting) *peer {
	t.Helper()
	p.shakeHands(t, settings...)
	go p.read()
	return p
}

// shakeHands exchanges the first frames.
func (p *peer) shakeHands(t *testing.T, settings ...http2.Setting) {
	t.Helper()
	preface := make([]byte, len(http2.ClientPreface))
	_, err := io.ReadFull(p.net, preface)
	require.NoError(t, err)
	require.Equal(t, http2.ClientPreface, string(preface))
	f, err := p.ReadFrame()
	require.NoError(t, err)
	require.IsType(t, &http2.SettingsFrame{}, f)
	require.Zero(t, f.(*http2.SettingsFrame).NumSettings())
	require.NoError(t, p.WriteSettings(settings...))
}

func (p *peer) read() {
	defer close(p.frames)
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return
		}
		got := frame{FrameHeader: f.Header()}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			continue
		case *http2.DataFrame:
			got.payload = slices.Clone(f.Data())
		case *http2.MetaHeadersFrame:
			got.fields = slices.Clone(f.Fields)
		case *http2.PingFrame:
			got.payload = f.Data[:]
		case *http2.RSTStreamFrame:
			got.payload = []byte(f.ErrCode.String())
		}
		p.frames <- got
	}
}

// next returns the next frame, which must be of a type.
func (p *peer) next(t *testing.T, want http2.FrameType) frame {
	t.Helper()
	f, more := <-p.frames
	require.True(t, more, "the connection has ended instead of %v", want)
	require.Equal(t, want, f.Type, "%v", f)
	return f
}

// request reads a call with a small message, and returns its number.
func (p *peer) request(t *testing.T) uint32 {
	t.Helper()
	id := p.next(t, http2.FrameHeaders).StreamID
	require.Equal(t, id, p.next(t, http2.FrameData).StreamID)
	return id
}

func (p *peer) headers(t *testing.T, id uint32, end bool, fields ...string) {
	t.Helper()
	var b headerBlock
	encoder := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true}))
	}
	require.NoError(t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b, EndHeaders: true, EndStream: end}))
}

type headerBlock []byte

func (b *headerBlock) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// answer answers a call with a message.
func (p *peer) answer(t *testing.T, id uint32, message string) {
	t.Helper()
	p.headers(t, id, false, ":status", "200", "content-type", "application/grpc")
	require.NoError(t, p.WriteData(id, false, append([]byte{0, 0, 0, 0, byte(len(message))}, message...)))
	p.headers(t, id, true, "grpc-status", "0")
}

// skipPing reads over what the first data of an answer brings about, and answers it.
func (p *peer) skipPing(t *testing.T) {
	t.Helper()
	p.next(t, http2.FrameWindowUpdate)
	require.Equal(t, ping[:], p.next(t, http2.FramePing).payload)
	require.NoError(t, p.WritePing(true, ping))
}

var errRefused = errors.New("refused")
