package pooledotlp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// post sends a body and returns the answer.
func post(t *testing.T, address, path, contentType, encoding string, body []byte) (*http.Response, []byte) {
	t.Helper()
	return do(t, http.MethodPost, address, path, http.Header{"Content-Type": {contentType}, "Content-Encoding": {encoding}}, body)
}

func do(t *testing.T, method, address, path string, header http.Header, body []byte) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), method, "http://"+address+path, bytes.NewReader(body))
	require.NoError(t, err)
	for k, v := range header {
		if v[0] != "" {
			r.Header[k] = v
		}
	}
	c := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer c.CloseIdleConnections()
	answer, err := c.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, b
}

// compress encodes a body as a client would.
func compress(t *testing.T, algorithm string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch algorithm {
	case "":
		return body
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib", "deflate":
		w = zlib.NewWriter(&b)
	case "lz4":
		w = lz4.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "snappy":
		return snappy.Encode(nil, body)
	case "x-snappy-framed":
		w = snappy.NewBufferedWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		w = z
	}
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestHTTPDeliversEverySignalInEveryEncoding(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		for _, algorithm := range []string{"", "gzip", "zstd", "snappy", "x-snappy-framed", "zlib", "deflate", "lz4", "br"} {
			for _, contentType := range []string{typeProto, typeJSON, "application/json; charset=utf-8", "APPLICATION/JSON"} {
				for _, s := range samples(t) {
					t.Run(algorithm+" "+contentType+" "+s.signal, func(t *testing.T) {
						r.sink.reset()
						body := s.json
						if contentType == typeProto {
							body = s.proto
						}
						answer, text := post(t, r.http, s.path, contentType, algorithm, compress(t, algorithm, body))
						require.Equal(t, http.StatusOK, answer.StatusCode, string(text))
						r.requireReceived(t, s)
						want := typeJSON
						if contentType == typeProto {
							want = typeProto
						}
						assert.Equal(t, want, answer.Header.Get("Content-Type"))
						requireFullSuccess(t, want, text)
					})
				}
			}
		}
	})
}

// requireFullSuccess reads an answer as a client does. Those of all signals have the same fields.
func requireFullSuccess(t *testing.T, contentType string, body []byte) {
	t.Helper()
	answer := ptraceotlp.NewExportResponse()
	if contentType == typeProto {
		require.NoError(t, answer.UnmarshalProto(body))
	} else {
		require.NoError(t, answer.UnmarshalJSON(body))
	}
	require.Zero(t, answer.PartialSuccess().RejectedSpans())
	require.Empty(t, answer.PartialSuccess().ErrorMessage())
}

func TestHTTPReusesItsDecoders(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		s := samples(t)[0]
		for range 3 {
			for _, algorithm := range []string{"gzip", "br", "zstd"} {
				r.sink.reset()
				whole := compress(t, algorithm, s.proto)
				answer, _ := post(t, r.http, s.path, typeProto, algorithm, whole[:len(whole)/2])
				require.Equal(t, http.StatusBadRequest, answer.StatusCode)
				answer, _ = post(t, r.http, s.path, typeProto, algorithm, whole)
				require.Equal(t, http.StatusOK, answer.StatusCode)
				r.requireReceived(t, s)
			}
		}
	})
}

func TestHTTPErrorsTellTheClientWhetherToRetry(t *testing.T) {
	cases := map[string]struct {
		err  error
		code int
		want *status.Status
	}{
		"plain":             {errors.New("my error"), 503, status.New(codes.Unavailable, "my error")},
		"permanent":         {consumererror.NewPermanent(errors.New("my error")), 500, status.New(codes.Internal, "Permanent error: my error")},
		"InvalidArgument":   {status.Error(codes.InvalidArgument, "bad"), 400, status.New(codes.InvalidArgument, "bad")},
		"Unavailable":       {status.Error(codes.Unavailable, "away"), 503, status.New(codes.Unavailable, "away")},
		"DeadlineExceeded":  {status.Error(codes.DeadlineExceeded, "late"), 503, status.New(codes.DeadlineExceeded, "late")},
		"ResourceExhausted": {status.Error(codes.ResourceExhausted, "full"), 429, status.New(codes.ResourceExhausted, "full")},
		"Unauthenticated":   {status.Error(codes.Unauthenticated, "who"), 401, status.New(codes.Unauthenticated, "who")},
		"PermissionDenied":  {status.Error(codes.PermissionDenied, "no"), 403, status.New(codes.PermissionDenied, "no")},
		"Unimplemented":     {status.Error(codes.Unimplemented, "what"), 404, status.New(codes.Unimplemented, "what")},
		"Internal":          {status.Error(codes.Internal, ""), 500, status.New(codes.Internal, "")},
	}
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		for name, c := range cases {
			for _, s := range samples(t) {
				t.Run(name+" "+s.signal, func(t *testing.T) {
					r.sink.reset()
					r.sink.refuseWith(c.err)
					for contentType, body := range map[string][]byte{typeProto: s.proto, typeJSON: s.json} {
						answer, text := post(t, r.http, s.path, contentType, "", body)
						assert.Equal(t, c.code, answer.StatusCode)
						assert.Empty(t, answer.Header.Get("Retry-After"))
						assert.Equal(t, contentType, answer.Header.Get("Content-Type"))
						requireStatus(t, contentType, c.want, text)
					}
					assert.Empty(t, r.sink.received(s.signal))
				})
			}
		}
	})
}

func requireStatus(t *testing.T, contentType string, want *status.Status, body []byte) {
	t.Helper()
	var got spb.Status
	if contentType == typeProto {
		require.NoError(t, proto.Unmarshal(body, &got))
	} else {
		require.NoError(t, protojson.Unmarshal(body, &got))
	}
	require.True(t, proto.Equal(want.Proto(), &got), "want %v, got %v", want, &got)
}

func TestHTTPTellsWhenToRetry(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		for _, c := range []struct {
			code  codes.Code
			delay time.Duration
			http  int
			want  string
		}{
			{codes.Unavailable, 13 * time.Second, 503, "13"},
			{codes.ResourceExhausted, 13 * time.Second, 429, "13"},
			{codes.ResourceExhausted, 0, 429, "0"},
			{codes.InvalidArgument, 13 * time.Second, 400, ""},
			{codes.Unknown, 13 * time.Second, 500, ""},
		} {
			refusal := throttled(t, c.code, c.delay)
			r.sink.refuseWith(refusal)
			for _, s := range samples(t) {
				answer, text := post(t, r.http, s.path, typeProto, "", s.proto)
				assert.Equal(t, c.http, answer.StatusCode, "%s, %v", s.signal, c.code)
				assert.Equal(t, c.want, answer.Header.Get("Retry-After"), "%s, %v", s.signal, c.code)
				requireStatus(t, typeProto, status.Convert(refusal), text)
			}
		}
	})
}

func TestHTTPRefusesWhatIsNotOTLP(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		const method = "405 method not allowed, supported: [POST]"
		const media = "415 unsupported media type, supported: [application/json, application/x-protobuf]"
		r := start(t, defaultConfig(decode))
		for _, s := range samples(t) {
			for _, c := range []struct {
				method, contentType string
				code                int
				text                string
			}{
				{http.MethodPost, "", 415, media},
				{http.MethodPost, "invalid", 415, media},
				{http.MethodPost, "text/plain", 415, media},
				{http.MethodGet, typeJSON, 405, method},
				{http.MethodPatch, typeJSON, 405, method},
			} {
				answer, text := do(t, c.method, r.http, s.path, http.Header{"Content-Type": {c.contentType}}, []byte("1234"))
				assert.Equal(t, c.code, answer.StatusCode)
				assert.Equal(t, "text/plain", answer.Header.Get("Content-Type"))
				assert.Equal(t, c.text, string(text))
			}
		}
		answer, _ := post(t, r.http, "/v1/unknown", typeProto, "", nil)
		assert.Equal(t, http.StatusNotFound, answer.StatusCode)
	})
}

func TestHTTPRefusesMalformedRequestsAndGoesOn(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		for _, s := range samples(t) {
			answer, text := post(t, r.http, s.path, typeJSON, "", []byte("1234"))
			assert.Equal(t, 400, answer.StatusCode, string(text))
			assert.Equal(t, typeJSON, answer.Header.Get("Content-Type"))
			answer, text = post(t, r.http, s.path, typeProto, "", []byte{0x0a, 5, 0x12})
			assert.Equal(t, 400, answer.StatusCode, string(text))
			assert.Equal(t, typeProto, answer.Header.Get("Content-Type"))
			var got spb.Status
			require.NoError(t, proto.Unmarshal(text, &got))
			assert.Equal(t, int32(codes.InvalidArgument), got.GetCode())
			if s.signal != "profiles" {
				assert.Equal(t, "malformed "+s.signal+" request at offset 0: the field ends beyond its message", got.GetMessage())
			}

			answer, _ = post(t, r.http, s.path, typeProto, "", s.proto)
			assert.Equal(t, 200, answer.StatusCode)
		}
	})
}

func TestHTTPRefusesBrokenCompressionInTheClientsEncoding(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		for encoding, text := range map[string]string{
			"gzip":   "gzip: invalid header",
			"zstd":   "invalid input: magic number mismatch",
			"foobar": "unsupported Content-Encoding: foobar",
		} {
			for _, contentType := range []string{typeProto, typeJSON} {
				answer, body := post(t, r.http, "/v1/traces", contentType, encoding, []byte(`{"key": "value"}`))
				assert.Equal(t, 400, answer.StatusCode)
				assert.Equal(t, contentType, answer.Header.Get("Content-Type"))
				requireStatus(t, contentType, status.New(codes.InvalidArgument, text), body)
			}
		}
		answer, body := post(t, r.http, "/v1/traces", typeProto, "br", []byte(`{"key": "value"}`))
		assert.Equal(t, 400, answer.StatusCode, string(body))
		answer, body = post(t, r.http, "/v1/traces", "text/plain", "gzip", []byte(`no`))
		assert.Equal(t, 500, answer.StatusCode)
		assert.Equal(t, string(fallbackAnswer.Body), string(body))
		answer, _ = post(t, r.http, "/v1/traces", "", "gzip", []byte(`no`))
		assert.Equal(t, typeJSON, answer.Header.Get("Content-Type"))
	})
}

func TestHTTPRefusesATruncatedBody(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		r := start(t, defaultConfig(decode))
		s := samples(t)[0]
		whole := compress(t, "gzip", s.proto)
		answer, text := post(t, r.http, s.path, typeProto, "gzip", whole[:len(whole)-9])
		assert.Equal(t, 400, answer.StatusCode, string(text))
		assert.Empty(t, r.sink.received("traces"))

		// A client that announces more than it sends.
		c, err := net.Dial("tcp", r.http)
		require.NoError(t, err)
		_, err = fmt.Fprintf(c, "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", typeProto, len(s.proto)+1, s.proto)
		require.NoError(t, err)
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		text, err = io.ReadAll(c)
		require.NoError(t, err)
		assert.Contains(t, string(text), "400 Bad Request")
		assert.Empty(t, r.sink.received("traces"))
		require.NoError(t, c.Close())
	})
}

func TestHTTPBodiesThatTakeTooLongMayBeSentAgain(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.HTTP.Get().ServerConfig.ReadTimeout = 100 * time.Millisecond
		r := start(t, cfg)
		s := samples(t)[0]
		c, err := net.Dial("tcp", r.http)
		require.NoError(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", typeProto, len(s.proto), s.proto[1:])
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		defer answer.Body.Close()
		assert.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		requireStatus(t, typeProto, status.New(codes.Unavailable, "the body took longer than read_timeout"), text)
		assert.Empty(t, r.sink.received("traces"))
	})
}

func TestHTTPBoundsTheBodySize(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, s := range samples(t) {
			for contentType, body := range map[string][]byte{typeProto: s.proto, typeJSON: s.json} {
				for less, code := range map[int]int{0: 200, 1: 400} {
					cfg := defaultConfig(decode)
					cfg.Protocols.HTTP.Get().ServerConfig.MaxRequestBodySize = int64(len(body) - less)
					r := start(t, cfg)
					answer, _ := post(t, r.http, s.path, contentType, "", body)
					assert.Equal(t, code, answer.StatusCode)
					answer, _ = post(t, r.http, s.path, contentType, "br", compress(t, "br", body))
					assert.Equal(t, code, answer.StatusCode, "after decompression")
				}
			}
		}
	})
}

func TestHTTPServesOnlyTheAlgorithmsConfigured(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg := defaultConfig(decode)
		cfg.Protocols.HTTP.Get().ServerConfig.CompressionAlgorithms = []string{"", "br"}
		r := start(t, cfg)
		s := samples(t)[0]
		for algorithm, code := range map[string]int{"": 200, "br": 200, "gzip": 400, "zstd": 400} {
			answer, _ := post(t, r.http, s.path, typeProto, algorithm, compress(t, algorithm, s.proto))
			assert.Equal(t, code, answer.StatusCode, algorithm)
		}
	})
}

func TestHTTPServesConfiguredPathsAndPassesMetadataOn(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		for _, included := range []bool{false, true} { // with it, net/http serves in any case
			cfg := defaultConfig(decode)
			http := cfg.Protocols.HTTP.Get()
			http.TracesURLPath, http.MetricsURLPath, http.LogsURLPath = "/t", "/v2/m", "/l"
			http.ServerConfig.IncludeMetadata = included
			var tenant []string
			if included {
				tenant = []string{"a"}
			}
			r := start(t, cfg)
			for i, path := range []string{"/t", "/v2/m", "/l"} {
				s := samples(t)[i]
				answer, _ := do(t, "POST", r.http, path, map[string][]string{"Content-Type": {typeProto}, "Tenant": {"a"}}, s.proto)
				assert.Equal(t, 200, answer.StatusCode)
				r.requireReceived(t, s)
				assert.Equal(t, tenant, client.FromContext(r.sink.lastContext()).Metadata.Get("Tenant"))
				answer, _ = post(t, r.http, s.path, typeProto, "", s.proto)
				assert.Equal(t, 404, answer.StatusCode, "the usual path")
			}
		}
	})
}

func TestHTTPAnswersCORSPreflights(t *testing.T) {
	eachMode(t, func(t *testing.T, decode DecodeMode) {
		cfg, err := load(t, "config.yaml", "pooledotlp/cors")
		require.NoError(t, err)
		cfg.Decode = decode
		r := start(t, cfg)
		for origin, allowed := range map[string]bool{"https://a.test.com": true, "https://a.evil.com": false} {
			answer, _ := do(t, http.MethodOptions, r.http, "/v1/traces", http.Header{
				"Origin": {origin}, "Access-Control-Request-Method": {"POST"},
			}, nil)
			assert.Equal(t, allowed, answer.Header.Get("Access-Control-Allow-Origin") == origin)
			assert.Equal(t, allowed, answer.Header.Get("Access-Control-Max-Age") == "7200")

			s := samples(t)[0]
			answer, _ = do(t, http.MethodPost, r.http, s.path, http.Header{"Origin": {origin}, "Content-Type": {typeJSON}}, s.json)
			assert.Equal(t, 200, answer.StatusCode, "it is the browser that keeps the answer from the page")
			assert.Equal(t, allowed, answer.Header.Get("Access-Control-Allow-Origin") == origin)
		}
	})
}
