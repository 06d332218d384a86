package pooledotlp

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// requireGoodClientsServed: whatever others did, a request passes over either protocol.
func requireGoodClientsServed(t *testing.T, r *running) {
	t.Helper()
	s := samples(t)[0]
	before := len(r.sink.AllTraces())
	require.NoError(t, s.export(within(t), dial(t, r.grpc)))
	answer, text := post(t, r.http, s.path, typeProto, "", s.proto)
	require.Equal(t, 200, answer.StatusCode, string(text))
	require.Len(t, r.sink.AllTraces(), before+2)
}

// requireBuffersReturned waits until no request holds a buffer.
func requireBuffersReturned(t *testing.T, r *running) {
	t.Helper()
	require.Eventually(t, func() bool {
		return r.receiver.buffers.Stats().InUse == 0 && r.receiver.held.Load() == 0 && r.receiver.inPipeline.Load() == 0
	}, 10*time.Second, time.Millisecond, "%+v", r.receiver.buffers.Stats())
}

func dialTCP(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

// header begins a request over HTTP whose body is said to have a length.
func header(s sample, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", s.path, typeProto, length)
}

func TestHTTPClientsThatTrickleAreBoundAndCutOff(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		const clients = 100
		cfg := defaultConfig(decode)
		cfg.Protocols.HTTP.Get().ServerConfig.ReadHeaderTimeout = 300 * time.Millisecond
		r := start(t, cfg)
		r.receiver.stragglerGrace, r.receiver.answerGrace = time.Millisecond, time.Millisecond
		s := samples(t)[0]
		var inHeader, inBody []net.Conn
		for range clients {
			c := dialTCP(t, r.http)
			_, err := io.WriteString(c, "POST /v1/traces HTTP/1.1\r\nX-Sl")
			require.NoError(t, err)
			inHeader = append(inHeader, c)
			c = dialTCP(t, r.http)
			_, err = io.WriteString(c, header(s, 20<<20)+"\n")
			require.NoError(t, err)
			inBody = append(inBody, c)
		}
		requireGoodClientsServed(t, r)
		for _, c := range inHeader {
			_, err := io.ReadAll(c)
			require.NoError(t, err, "cut off by read_header_timeout, no one has to ask for it")
		}
		// What was announced is not reserved: a body costs one buffer of 32 KiB until more of it comes.
		require.LessOrEqual(t, r.receiver.buffers.Stats().InUseBytes, int64(clients*40<<10))
		for _, c := range inBody[:clients/2] {
			require.NoError(t, c.Close())
		}
		// The others never end. The shutdown does.
		require.NoError(t, r.Shutdown(within(t)))
		requireBuffersReturned(t, r)
		assert.Len(t, r.sink.AllTraces(), 2)
	})
}

// stream is a call over gRPC, written frame by frame.
type stream struct{ net.Conn }

func (s stream) frame(t *testing.T, kind, flags byte, id uint32, payload []byte) {
	t.Helper()
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = binary.BigEndian.AppendUint32(append(head, flags), id)
	_, err := s.Write(append(head, payload...))
	require.NoError(t, err)
}

const (
	frameData, frameHeaders, frameReset, frameSettings = 0, 1, 3, 4

	endStream, endHeaders = 1, 4
)

// begin opens a connection and a call to Export.
func begin(t *testing.T, address string, n names, headers ...string) stream {
	t.Helper()
	s := stream{dialTCP(t, address)}
	_, err := io.WriteString(s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	require.NoError(t, err)
	s.frame(t, frameSettings, 0, 0, nil)
	var block []byte
	headers = append([]string{
		":method", "POST", ":scheme", "http", ":path", "/" + n.service + "/Export", ":authority", "a",
		"content-type", "application/grpc", "te", "trailers",
	}, headers...)
	for i := 0; i < len(headers); i += 2 { // literals that nobody is to remember
		block = append(append(block, 0, byte(len(headers[i]))), headers[i]...)
		block = append(append(block, byte(len(headers[i+1]))), headers[i+1]...)
	}
	s.frame(t, frameHeaders, endHeaders, 1, block)
	return s
}

// prefix says of a message whether it is compressed and how long it is.
func prefix(compressed byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{compressed}, length)
}

func TestGRPCMessagesThatLieAboutTheirLength(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		const clients = 50
		r := start(t, defaultConfig(decode))
		r.drops = true // see running
		r.receiver.stragglerGrace, r.receiver.answerGrace = time.Millisecond, time.Millisecond
		s := samples(t)[0]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range clients {
			// Announced and never sent: nothing is reserved for it.
			announces := begin(t, r.grpc, tracesNames)
			announces.frame(t, frameData, 0, 1, append(prefix(0, 4<<20-1), s.proto...))
			// Reset by the client in the middle.
			resets := begin(t, r.grpc, tracesNames)
			resets.frame(t, frameData, 0, 1, append(prefix(0, 4<<20-1), s.proto...))
			resets.frame(t, frameReset, 0, 1, []byte{0, 0, 0, 8})
			// Ended in the middle.
			ends := begin(t, r.grpc, tracesNames)
			ends.frame(t, frameData, endStream, 1, append(prefix(0, uint32(len(s.proto))+1), s.proto...))
			// Longer than may be.
			long := begin(t, r.grpc, tracesNames)
			long.frame(t, frameData, 0, 1, append(prefix(0, 1<<32-1), s.proto...))
			// Said to be compressed, by nothing and by something unknown.
			begin(t, r.grpc, tracesNames).frame(t, frameData, endStream, 1, append(prefix(1, uint32(len(s.proto))), s.proto...))
			begin(t, r.grpc, tracesNames, "grpc-encoding", "lzma").frame(t, frameData, endStream, 1, append(prefix(1, uint32(len(s.proto))), s.proto...))
			begin(t, r.grpc, tracesNames).frame(t, frameData, endStream, 1, append(prefix(7, uint32(len(s.proto))), s.proto...))
		}
		requireGoodClientsServed(t, r)
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(clients)*4<<20, "half of what only the first two announce")
		assert.Len(t, r.sink.AllTraces(), 2, "nothing of it was taken for a request")
		require.NoError(t, r.Shutdown(within(t)), "though half of the calls never end")
		assert.Zero(t, r.receiver.inPipeline.Load())
		assert.Zero(t, r.receiver.held.Load(), "though the pool has lost sight of some buffers")
	})
}

// bomb compresses zeros, of which a request may have far fewer.
func bomb(t *testing.T, algorithm string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch algorithm {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib", "deflate":
		w = zlib.NewWriter(&b)
	case "br":
		w = brotli.NewWriterLevel(&b, 1)
	case "x-snappy-framed":
		w = snappy.NewBufferedWriter(&b)
	case "snappy":
		return snappy.Encode(nil, make([]byte, size))
	case "lz4":
		w = lz4.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		w = z
	}
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		_, err := w.Write(zeros)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// allocated returns the bytes that f makes the process allocate.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestBombsAreBoundByTheMessageSize(t *testing.T) {
	const size, limit = 16 << 20, 1 << 20
	hugeWindow := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 9, 0, 0, 'a'}
	overHTTP := map[string][]byte{"zstd with a huge window": hugeWindow}
	for _, algorithm := range []string{"gzip", "zlib", "br", "x-snappy-framed", "snappy", "lz4", "zstd"} {
		overHTTP[algorithm] = bomb(t, algorithm, size)
	}
	overHTTP["deflate"] = overHTTP["zlib"]
	// Within the first window of a stream, so that nobody has to wait for its growth.
	overGRPC := map[string][]byte{"zstd with a huge window": hugeWindow}
	for _, algorithm := range []string{"gzip", "br", "zstd"} {
		overGRPC[algorithm] = overHTTP[algorithm]
	}
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, configured(t, decode, map[string]any{
			"grpc": map[string]any{"max_recv_msg_size_mib": limit >> 20}, "http": map[string]any{"max_request_body_size": limit},
		}))
		for name, body := range overHTTP {
			algorithm, _, _ := strings.Cut(name, " ")
			t.Run("http "+name, func(t *testing.T) {
				var answer *http.Response
				bytes := allocated(func() { answer, _ = post(t, r.http, "/v1/traces", typeProto, algorithm, body) })
				assert.Equal(t, 400, answer.StatusCode)
				// The body, the buffers it is read into, and what the algorithms need themselves.
				assert.Less(t, bytes, int64(size))
				requireBuffersReturned(t, r)
			})
		}
		for name, body := range overGRPC {
			algorithm, _, _ := strings.Cut(strings.Replace(name, "br", "brotli", 1), " ")
			t.Run("grpc "+name, func(t *testing.T) {
				require.Less(t, len(body), 60<<10)
				s := begin(t, r.grpc, tracesNames, "grpc-encoding", algorithm)
				bytes := allocated(func() {
					message := append(prefix(1, uint32(len(body))), body...)
					for len(message) > 16<<10 {
						s.frame(t, frameData, 0, 1, message[:16<<10])
						message = message[16<<10:]
					}
					s.frame(t, frameData, endStream, 1, message)
					requireBuffersReturned(t, r)
					_, err := io.ReadFull(s, make([]byte, 100)) // settings, and the answer at the latest
					require.NoError(t, err)
				})
				assert.Less(t, bytes, int64(size))
			})
		}
		cc := dial(t, r.grpc)
		for _, algorithm := range []string{"gzip", "zstd", "snappy", "brotli"} {
			_, err := sendRaw(t, cc, tracesNames, make([]byte, 2*limit), grpc.UseCompressor(algorithm))
			assert.Equal(t, codes.ResourceExhausted, status.Code(err), "%s: %v", algorithm, err)
		}
		requireGoodClientsServed(t, r)
		requireBuffersReturned(t, r)
		assert.Len(t, r.sink.AllTraces(), 2)
	})
}

// nested is an attribute of a resource whose value is an array in an array, and so on. It fits traces, metrics and logs.
func nested(depth int) []byte {
	out := make([]byte, 16*depth+64)
	at := len(out)
	wrap := func(field byte) {
		head := binary.AppendUvarint([]byte{field<<3 | 2}, uint64(len(out)-at))
		at -= copy(out[at-len(head):], head)
	}
	for range depth {
		wrap(1) // ArrayValue.values
		wrap(5) // AnyValue.array_value
	}
	wrap(2) // KeyValue.value
	wrap(1) // Resource.attributes
	wrap(1) // ResourceSpans.resource
	wrap(1) // ExportTraceServiceRequest.resource_spans
	return out[at:]
}

// Two million levels fit the size of a body, and decoding them takes more than the 1 GB of stack at which a process ends.
func TestDeepRequestsAreRefused(t *testing.T) {
	const levels = 100_000
	deep := nested(levels)
	require.Less(t, len(deep), 1<<20)
	json := `{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":` +
		strings.Repeat(`{"arrayValue":{"values":[`, levels) + strings.Repeat(`]}}`, levels) + `}]}}]}`
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		for _, s := range samples(t) {
			for contentType, body := range map[string][]byte{typeProto: deep, typeJSON: []byte(json)} {
				answer, text := post(t, r.http, s.path, contentType, "", body)
				assert.Equal(t, 400, answer.StatusCode)
				assert.Contains(t, string(text), "messages are nested deeper than 10000", s.signal)
			}
		}
		for _, n := range allNames {
			_, err := sendRaw(t, dial(t, r.grpc), n, deep)
			assert.Equal(t, codes.InvalidArgument, status.Code(err), n.signal)
			assert.ErrorContains(t, err, "messages are nested deeper than 10000")
		}
		requireGoodClientsServed(t, r)
	})
}

func TestWhatIsDeepInJSON(t *testing.T) {
	deep := strings.Repeat("[", maxJSONDepth)
	for text, want := range map[string]bool{
		"": false, deep: false, deep + "[": true, deep + "]{": false, deep + `"[{\"[{\\",{`: true, deep + `"{{`: false, deep + `"\`: false,
		`{"a":` + deep: true, strings.Repeat("[]{}", maxJSONDepth): false, `"` + deep + `[[`: false,
	} {
		assert.Equal(t, want, jsonTooDeep([]byte(text)), "%.20s ... %d", text, len(text))
	}
}

func TestCallsBrokenOffByTheirClientsLeaveNothingBehind(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, protocol := range []string{"grpc", "http"} {
			t.Run(protocol, func(t *testing.T) {
				s := newStuck()
				made, err := createTraces(t.Context(), nopSettings(), defaultConfig(decode), s)
				require.NoError(t, err)
				r := made.(*sharedReceiver)
				r.receiver.stragglerGrace, r.receiver.answerGrace = time.Millisecond, time.Millisecond
				require.NoError(t, r.Start(t.Context(), nopHost()))
				const clients = 20
				body := samples(t)[0]
				for range clients {
					if protocol == "http" {
						c := dialTCP(t, r.receiver.httpAddress.String())
						_, err := io.WriteString(c, header(body, len(body.proto))+string(body.proto))
						require.NoError(t, err)
						<-s.entered
						require.NoError(t, c.Close())
						continue
					}
					c := begin(t, r.receiver.grpcAddress.String(), tracesNames)
					c.frame(t, frameData, endStream, 1, append(prefix(0, uint32(len(body.proto))), body.proto...))
					<-s.entered
					c.frame(t, frameReset, 0, 1, []byte{0, 0, 0, 8})
				}
				assert.EqualValues(t, clients, r.receiver.inPipeline.Load())
				close(s.release)
				require.NoError(t, r.Shutdown(within(t)))
				require.Eventually(t, func() bool {
					return r.receiver.buffers.Stats().InUse == 0 && r.receiver.inPipeline.Load() == 0
				}, 10*time.Second, time.Millisecond)
			})
		}
	})
}

func TestIdleConnectionsHoldNoBuffersOfRequests(t *testing.T) {
	const connections = 1000
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		r.receiver.stragglerGrace, r.receiver.answerGrace = time.Millisecond, time.Millisecond // they do not answer pings either
		s := samples(t)[0]
		var idle []net.Conn
		for i := range connections {
			if i%2 == 0 {
				c := dialTCP(t, r.http)
				_, err := io.WriteString(c, header(s, len(s.proto))+string(s.proto))
				require.NoError(t, err)
				idle = append(idle, c)
				continue
			}
			c := begin(t, r.grpc, tracesNames)
			c.frame(t, frameData, endStream, 1, append(prefix(0, uint32(len(s.proto))), s.proto...))
			idle = append(idle, c)
		}
		require.Eventually(t, func() bool { return len(r.sink.AllTraces()) == connections }, 20*time.Second, time.Millisecond)
		requireBuffersReturned(t, r)
		requireGoodClientsServed(t, r)
		require.NoError(t, r.Shutdown(within(t)), "idle connections do not hold it up")
		for _, c := range idle {
			require.NoError(t, c.Close())
		}
	})
}
