package pooledotlp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// Together, clients that send large requests slowly take no more than they may, over both protocols; when they are gone, nothing of it stays.
func TestSlowClientsAreBoundTogether(t *testing.T) {
	const clients, limit = 500, 2 << 20
	cfg := defaultConfig(DecodeVerified)
	cfg.MaxReadingBytes = limit
	r := start(t, cfg)
	s := samples(t)[0]
	begun := func(i int) net.Conn {
		if i%2 == 0 {
			c := begin(t, r.grpc, tracesNames)
			c.frame(t, frameData, 0, 1, append(prefix(0, 4<<20-1), make([]byte, 10_000)...))
			return c
		}
		c := dialTCP(t, r.http)
		_, err := io.WriteString(c, header(s, 20<<20)+"\n")
		require.NoError(t, err)
		return c
	}
	var conns []net.Conn
	for i := range clients {
		conns = append(conns, begun(i))
	}
	require.Eventually(t, func() bool {
		held := r.receiver.reading.Held()
		assert.LessOrEqual(t, held, int64(limit))
		assert.LessOrEqual(t, r.receiver.buffers.Stats().InUseBytes, int64(limit)*5/4)
		return held > limit-40<<10 && r.receiver.reading.Refused() >= clients-limit/(32<<10)
	}, 20*time.Second, time.Millisecond, "each wants 32 KiB and more")
	response, err := http.Post("http://"+r.http+"/v1/traces", typeProto, bytes.NewReader(make([]byte, 100<<10)))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	require.Eventually(t, func() bool { return r.receiver.reading.Held() == 0 }, 20*time.Second, time.Millisecond)
	requireGoodClientsServed(t, r)
	require.NoError(t, r.Shutdown(within(t)))
	requireBuffersReturned(t, r)
	assert.Zero(t, r.receiver.reading.Held())
}

// oneConn is a listener with one connection.
type oneConn struct{ conns chan net.Conn }

func (l oneConn) Accept() (net.Conn, error) {
	c, open := <-l.conns
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l oneConn) Close() error   { return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// A body that takes long makes room when others need it, and only then.
func TestSlowBodiesMakeRoom(t *testing.T) {
	for name, test := range map[string]struct {
		limit  int64
		wanted bool // by another request
		code   int
	}{
		"tight":                  {40 << 10, true, http.StatusServiceUnavailable},
		"nobody else wants room": {40 << 10, false, http.StatusOK},
		"room enough":            {80 << 10, true, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := defaultConfig(DecodeVerified)
				cfg.MaxReadingBytes = test.limit
				r := create(t, cfg, nopSettings(), &sink{}).receiver
				defer r.buffers.Close()
				endpoints, err := r.endpoints("http")
				require.NoError(t, err)
				server := &http.Server{Handler: r.newMux(endpoints), ReadHeaderTimeout: time.Hour}
				ours, theirs := net.Pipe()
				defer ours.Close()
				l := oneConn{make(chan net.Conn, 1)}
				l.conns <- theirs
				go func() { _ = server.Serve(l) }()
				body := emptyRequest(50 << 10)
				go func() {
					_, _ = io.WriteString(ours, header(samples(t)[0], len(body)))
					_, _ = ours.Write(body[:len(body)/2])
					time.Sleep(bufpool.SlowReader * 5 / 2)
					_, _ = ours.Write(body[len(body)/2:]) // to nobody, if it was broken off
				}()
				synctest.Wait() // the first half is read
				var refused uint64
				if other := r.reading.Reserve(); test.wanted {
					require.False(t, other.Grow(100<<10))
					refused++
				}
				response, err := http.ReadResponse(bufio.NewReader(ours), nil)
				require.NoError(t, err)
				assert.Equal(t, test.code, response.StatusCode)
				if test.code != http.StatusOK {
					refused++
				}
				assert.Equal(t, refused, r.reading.Refused())
				require.NoError(t, ours.Close())
				close(l.conns)
				require.NoError(t, server.Close())
				synctest.Wait()
				assert.Zero(t, r.reading.Held())
				assert.Zero(t, r.buffers.Stats().InUse)
				time.Sleep(bufpool.SlowReader * 3) // the client's last words
			})
		})
	}
}

// Clients that stall in the middle of small bodies take no room from others; in the middle of larger ones they do.
func TestStalledSmallBodiesTakeNoRoom(t *testing.T) {
	for length, want := range map[int64]error{atHand: nil, atHand + 1: bufpool.ErrNoRoom} {
		synctest.Test(t, func(t *testing.T) {
			const stalled = 16
			buffers := bufpool.New(bufpool.DefaultConfig())
			defer buffers.Close()
			budget := bufpool.NewBudget(stalled * (atHand + 1))
			body, client := io.Pipe()
			for range stalled {
				go func() {
					var reserved bufpool.Reservation
					defer reserved.End()
					_, err := readBody(body, length, buffers, budget, &reserved)
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}()
			}
			synctest.Wait()
			whole := make([]byte, 20<<10)
			var reserved bufpool.Reservation
			got, err := readBody(bytes.NewReader(whole), int64(len(whole)), buffers, budget, &reserved)
			reserved.End()
			require.ErrorIs(t, err, want)
			got.Free()
			require.NoError(t, client.Close())
			synctest.Wait()
			assert.Zero(t, budget.Held())
			assert.Zero(t, buffers.Stats().InUse)
		})
	}
}

// Without a bound, bodies may take as long as they like, and nothing is to be watched.
func TestBodiesAreWatchedWhereTheyTakeRoom(t *testing.T) {
	for _, test := range []struct {
		limit, length int64
		watched       bool
	}{{1 << 20, atHand, false}, {1 << 20, atHand + 1, true}, {1 << 20, -1, true}, {0, atHand + 1, false}, {0, -1, false}} {
		watch := watchBody(nil, test.length, bufpool.NewBudget(test.limit))
		assert.Equal(t, test.watched, watch != nil, "%+v", test)
		assert.False(t, watch.end())
	}
}

// emptyRequest is a valid request of a size, without items: a field that nobody knows.
func emptyRequest(size int) []byte {
	b := binary.AppendUvarint([]byte{15<<3 | 2}, uint64(size))
	return append(b, make([]byte, size)...)
}

// stallingZstd is a request compressed with a window of 16 MiB, and what its client sends of it before it stalls: enough for a decompressor to begin.
func stallingZstd() (body []byte, first int) {
	const window = (24 - 10) << 3
	request := emptyRequest(20 << 10)
	block := func(b []byte, last int) []byte {
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(b)<<3|last))
		return append(head[:3], b...)
	}
	body = append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}, block(request[:100], 0)...)
	first = len(body)
	return append(body, block(request[100:], 1)...), first
}

// A decompressor's window is not counted, and so not taken while a client may stall.
func TestStalledBodiesTakeNoWindow(t *testing.T) {
	for _, mode := range []ServerMode{ServerAuto, ServerNetHTTP} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := defaultConfig(DecodeVerified)
				r := create(t, cfg, nopSettings(), &sink{}).receiver
				defer r.buffers.Close()
				endpoints, err := r.endpoints("http")
				require.NoError(t, err)
				http := cfg.Protocols.HTTP.Get()
				open := newOpeners(http)
				fallback, err := http.ServerConfig.ToServer(t.Context(), nil, r.settings.TelemetrySettings,
					r.newMux(endpoints), r.httpOptions(open)...)
				require.NoError(t, err)
				server := httpServer(fallback)
				if mode == ServerAuto {
					server = r.ownHTTPServer(fallback, endpoints, open, true)
				}
				requireNoWindow(t, server)
				assert.Zero(t, r.reading.Held())
				assert.Zero(t, r.buffers.Stats().InUse)
			})
		})
	}
}

// requireNoWindow sends a request to a server, and stalls in its midst.
func requireNoWindow(t *testing.T, server httpServer) {
	ours, theirs := net.Pipe()
	l := oneConn{make(chan net.Conn, 1)}
	l.conns <- theirs
	go func() { _ = server.Serve(l) }()
	body, first := stallingZstd()
	head := strings.Replace(header(samples(t)[0], len(body)), "\r\n\r\n", "\r\nContent-Encoding: zstd\r\n\r\n", 1)
	taken := allocated(func() {
		_, err := io.WriteString(ours, head)
		require.NoError(t, err)
		_, err = ours.Write(body[:first])
		require.NoError(t, err)
		synctest.Wait()
	})
	assert.Less(t, taken, int64(2<<20))
	_, err := ours.Write(body[first:])
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(ours), nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, ours.Close())
	close(l.conns)
	require.NoError(t, server.Close())
	synctest.Wait()
}
