package unarygrpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
)

// anyPings lets a test ask when all that it sent has been handled.
var anyPings = keepalive.EnforcementPolicy{MinTime: 1, PermitWithoutStream: true}

// answerBytes is what an answer takes of the windows.
var answerBytes = uint32(prefixSize + len(answer))

func initialWindow(size uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: size}
}

// handled makes calls whose handlers have returned, and which wait for the client's windows.
func handled(t *testing.T, c *client, s *Server, ids ...uint32) {
	t.Helper()
	for _, id := range ids {
		c.call(id, "x")
		require.Eventually(t, func() bool {
			for _, conn := range s.conns.All() {
				conn.mu.Lock()
				found := conn.streams[id] != nil && conn.streams[id].answered
				conn.mu.Unlock()
				if found {
					return true
				}
			}
			return false
		}, eventually, poll)
	}
}

// order returns the calls in the order of their answers, each of which is written in one piece.
func (c *client) order(n int) (ids []uint32) {
	for range n {
		e, more := c.next(0, http2.FrameData)
		require.True(c.t, more)
		require.Equal(c.t, message(string(answer)), e.data)
		_, more = c.next(e.id, http2.FrameHeaders)
		require.True(c.t, more)
		ids = append(ids, e.id)
	}
	return ids
}

// silence checks that nothing was answered up to now.
func (c *client) silence() {
	c.t.Helper()
	data := [8]byte{'s', 'i', 'l', 'e', 'n', 't'}
	c.sent(c.framer.WritePing(false, data))
	e, _ := c.next(0, http2.FrameHeaders, http2.FrameData, http2.FrameRSTStream, http2.FramePing, http2.FrameGoAway)
	require.Equal(c.t, event{kind: http2.FramePing, ack: true, data: data[:]}, e)
}

func TestAnAnswerWaitsForTheWindowOfItsCall(t *testing.T) {
	s, address := serve(t, Config{Enforcement: anyPings}, accept)
	c := dial(t, address, initialWindow(answerBytes-1))
	handled(t, c, s, 1, 3)
	c.silence()
	c.sent(c.framer.WriteWindowUpdate(3, 1))
	c.answered(3)
	c.silence()
	c.open(5)
	c.sent(c.framer.WriteWindowUpdate(5, 1)) // before there is an answer
	c.sent(c.framer.WriteData(5, true, message("x")))
	c.answered(5)
	c.sent(c.framer.WriteWindowUpdate(1, 1<<20))
	c.answered(1)
}

func TestSettingsLetAnswersGo(t *testing.T) {
	s, address := serve(t, Config{Enforcement: anyPings}, accept)
	c := dial(t, address, initialWindow(0))
	handled(t, c, s, 1, 3, 5)
	c.sent(c.framer.WriteWindowUpdate(3, answerBytes-1))
	c.sent(c.framer.WriteSettings(initialWindow(0), initialWindow(1))) // the last one counts
	c.answered(3)
	c.silence()
	c.sent(c.framer.WriteSettings(initialWindow(answerBytes)))
	assert.Equal(t, []uint32{1, 5}, c.order(2))
}

// drainWindow makes calls until the window of the connection has less room than an answer.
func drainWindow(c *client, id uint32) uint32 {
	for left := uint32(maxDefaultWindow); left >= answerBytes; left -= answerBytes {
		c.call(id, "x")
		c.answered(id)
		id += 2
	}
	return id
}

func TestAnswersWaitInLineForTheWindowOfTheConnection(t *testing.T) {
	s, address := serve(t, Config{Enforcement: anyPings}, accept)
	c := dial(t, address)
	id := drainWindow(c, 1)
	line := []uint32{id + 4, id + 6, id + 8, id + 10, id + 12}
	handled(t, c, s, line...)
	c.silence()
	c.sent(c.framer.WriteRSTStream(id+8, http2.ErrCodeCancel)) // one goes
	c.sent(c.framer.WriteWindowUpdate(0, answerBytes))
	assert.Equal(t, []uint32{id + 4}, c.order(1))
	c.sent(c.framer.WriteSettings(initialWindow(0))) // the rest waits for its own window as well
	c.sent(c.framer.WriteWindowUpdate(0, 2*answerBytes))
	c.sent(c.framer.WriteWindowUpdate(id+10, answerBytes))
	assert.Equal(t, []uint32{id + 10}, c.order(1))
	c.sent(c.framer.WriteSettings(initialWindow(answerBytes)))
	assert.Equal(t, []uint32{id + 6}, c.order(1), "in line again, for the rest of the connection's window")
	c.silence()
	c.sent(c.framer.WriteWindowUpdate(0, answerBytes))
	assert.Equal(t, []uint32{id + 12}, c.order(1))
}

// A small answer does not overtake a larger one for ever.
func TestASmallAnswerWaitsInLine(t *testing.T) {
	s, address := serve(t, Config{Enforcement: anyPings}, accept)
	c := dial(t, address)
	id := drainWindow(c, 1)
	c.sent(c.framer.WriteWindowUpdate(0, answerBytes))
	c.call(id, "x")
	c.answered(id)
	c.sent(c.framer.WriteWindowUpdate(0, answerBytes-1-maxDefaultWindow%answerBytes))
	handled(t, c, s, id+2)
	c.call(id+4, "x", ":path", emptyPath)
	require.Eventually(t, func() bool { return s.Stats().Calls == 0 }, eventually, poll)
	c.silence()
	c.sent(c.framer.WriteWindowUpdate(0, 1+prefixSize))
	c.answered(id + 2)
	assert.Equal(t, message(""), c.outcome(id+4).body)
}

// A client that takes back its calls while they wait leaves nothing behind, and is in nobody's way.
func TestACallIsResetWhileItsAnswerWaits(t *testing.T) {
	s, address := serve(t, Config{Enforcement: anyPings}, accept)
	c := dial(t, address)
	id := drainWindow(c, 1)
	for range 20 {
		handled(t, c, s, id)
		c.sent(c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
		id += 2
	}
	c.silence()
	for _, conn := range s.conns.All() {
		conn.mu.Lock()
		assert.Empty(t, conn.parked)
		assert.Empty(t, conn.streams)
		conn.mu.Unlock()
	}
	c.sent(c.framer.WriteWindowUpdate(0, answerBytes))
	c.call(id, "x")
	c.answered(id)
}

func TestAWindowThatIsTooLargeResetsItsCall(t *testing.T) {
	g := newGate()
	_, address := serve(t, Config{}, g.handle)
	c := dial(t, address)
	c.call(1, "x")
	handling := <-g.entered
	c.sent(c.framer.WriteWindowUpdate(1, 1<<31-1))
	assert.Equal(t, http2.ErrCodeFlowControl, c.outcome(1).rst)
	<-handling.Done()
	close(g.opened)
	c.call(3, "x")
	c.answered(3)
}

// What a client may send is given back to it: for a message larger than the window, and for all that is read over.
func TestAClientMayAlwaysSend(t *testing.T) {
	const size = 3 * window
	got := make(chan int, 1)
	_, address := serve(t, Config{MaxMessageBytes: size}, func(_ context.Context, m mem.BufferSlice) error {
		got <- m.Len()
		return nil
	})
	c := dial(t, address)
	e, _ := c.next(0, http2.FrameSettings)
	callWindow := int(e.settings[http2.SettingInitialWindowSize])
	connWindow := maxDefaultWindow
	// send sends the frames of a call and waits for the windows when they are used up.
	send := func(id uint32, frames int, padding []byte, callWindow int, data func(i int) (end bool, b []byte)) {
		for i := range frames {
			end, b := data(i)
			n := len(b)
			if padding != nil {
				n += 1 + len(padding)
			}
			for connWindow < n || callWindow < n {
				e, more := c.next(0, http2.FrameWindowUpdate)
				require.True(t, more)
				switch e.id {
				case 0:
					connWindow += int(e.increment)
				case id:
					callWindow += int(e.increment)
				}
			}
			connWindow -= n
			callWindow -= n
			if padding == nil {
				c.sent(c.framer.WriteData(id, end, b))
			} else {
				c.sent(c.framer.WriteDataPadded(id, end, b, padding))
			}
		}
	}
	whole := append([]byte{0, 3, 0, 0, 0}, make([]byte, size)...)
	const step = 16_000
	frames := (len(whole) + step - 1) / step
	c.open(1)
	send(1, frames, make([]byte, 200), callWindow, func(i int) (bool, []byte) {
		return i == frames-1, whole[i*step : min(len(whole), (i+1)*step)]
	})
	assert.Equal(t, size, <-got)
	for ended := false; !ended; {
		e, more := c.next(0, http2.FrameWindowUpdate, http2.FrameHeaders)
		require.True(t, more)
		ended = e.end
		if e.id == 0 {
			connWindow += int(e.increment)
		}
	}
	// A call that is over costs the window of the connection, too.
	send(1, 2*window/step, nil, 1<<40, func(int) (bool, []byte) { return false, whole[:step] })
}

// A client that asks for a smaller table of headers is told once that there is none: it may end the connection otherwise.
func TestASmallerTableOfHeadersIsConfirmed(t *testing.T) {
	_, address := serve(t, Config{}, accept)
	table := func(size uint32) http2.Setting { return http2.Setting{ID: http2.SettingHeaderTableSize, Val: size} }
	for name, test := range map[string]struct {
		first, later []http2.Setting
		path         string
		confirmed    []bool // by the blocks of headers of two calls, between which the later settings come
	}{
		"no wish":                     {confirmed: []bool{false, false, false, false}},
		"the default":                 {first: []http2.Setting{table(hpackTable)}, confirmed: []bool{false, false, false, false}},
		"none":                        {first: []http2.Setting{table(0)}, confirmed: []bool{true, false, false, false}},
		"one byte less, and back":     {first: []http2.Setting{table(hpackTable - 1), table(hpackTable)}, confirmed: []bool{true, false, false, false}},
		"less later":                  {later: []http2.Setting{table(100)}, confirmed: []bool{false, false, true, false}},
		"less, and less":              {first: []http2.Setting{table(100)}, later: []http2.Setting{table(10)}, confirmed: []bool{true, false, false, false}},
		"less, and calls are refused": {first: []http2.Setting{table(100)}, path: "/unknown", confirmed: []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			require.NoError(t, err)
			c := unread(t, conn)
			c.framer.ReadMetaHeaders = nil
			c.shake(test.first...)
			var confirmed []bool
			perCall := len(test.confirmed) / 2
			for call := range 2 {
				if test.path == "" {
					c.call(uint32(2*call+1), "x")
				} else {
					c.open(uint32(2*call+1), ":path", test.path)
				}
				for len(confirmed) < perCall*(call+1) {
					frame, err := c.framer.ReadFrame()
					require.NoError(t, err)
					if headers, is := frame.(*http2.HeadersFrame); is {
						block := headers.HeaderBlockFragment()
						confirmed = append(confirmed, block[0] == emptyTable[0])
						_, err := hpack.NewDecoder(hpackTable, nil).DecodeFull(block)
						require.NoError(t, err)
					}
				}
				if call == 0 {
					c.sent(c.framer.WriteSettings(test.later...))
				}
			}
			assert.Equal(t, test.confirmed, confirmed)
		})
	}
}

func TestTheLastOfSeveralWindowsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(withMethod(t, Config{}, accept))
		defer s.Stop()
		c := pipe(t, s)
		c.shake()
		for _, sizes := range [][]uint32{{1 << 20, 7}, {3, 1 << 20}} {
			c.raw(frame(http2.FrameSettings, 0, 0, setWindow+uint32s(sizes[0])+setWindow+uint32s(sizes[1])))
			synctest.Wait()
			conn := only(s)
			conn.mu.Lock()
			assert.EqualValues(t, sizes[1], conn.peerStreamWindow)
			conn.mu.Unlock()
		}
	})
}
