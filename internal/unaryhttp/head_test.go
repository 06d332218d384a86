package unaryhttp

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func contentLength(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) }

const start = "POST /v1/traces HTTP/1.1\r\n"

var plainHeads = map[string]string{
	"as exporters send it": start + "Host: localhost:4318\r\nUser-Agent: OTel-OTLP-Exporter-Python/1.27.0\r\nContent-Length: 5\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\nAccept-Encoding: gzip\r\n\r\n",
	"other case":           start + "hOST: a\r\nCONTENT-length:5\r\ncontent-type:  application/x-protobuf \r\nConnection: Keep-Alive\r\n\r\n",
	"empty encoding":       start + "Host: a\r\nContent-Length: 5\r\nContent-Type: application/x-protobuf\r\nContent-Encoding:\r\n\r\n",
	"leading zeros":        start + "Host: a\r\nContent-Length: 0005\r\nContent-Type: application/x-protobuf\r\n\r\n",
}

// with is a head that would be served but for one line.
func with(line string) string {
	return start + "Host: a\r\nContent-Length: 5\r\nContent-Type: application/x-protobuf\r\n" + line + "\r\n\r\n"
}

var foreignHeads = map[string]string{
	"another method":           strings.Replace(with("A: b"), "POST", "PUT", 1),
	"lower case method":        strings.Replace(with("A: b"), "POST", "post", 1),
	"another path":             strings.Replace(with("A: b"), "traces", "spans", 1),
	"query":                    strings.Replace(with("A: b"), "traces", "traces?a", 1),
	"escaped path":             strings.Replace(with("A: b"), "traces", "trace%73", 1),
	"absolute form":            strings.Replace(with("A: b"), "/v1", "http://a/v1", 1),
	"two spaces":               strings.Replace(with("A: b"), "POST ", "POST  ", 1),
	"HTTP/1.0":                 strings.Replace(with("A: b"), "1.1", "1.0", 1),
	"HTTP/2 preface":           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"TLS":                      "\x16\x03\x01",
	"empty line first":         "\r\n" + with("A: b"),
	"LF alone":                 strings.ReplaceAll(with("A: b"), "\r\n", "\n") + "\r\n\r\n",
	"LF in a line":             with("A: b\nContent-Length: 9"),
	"CR in a line":             with("A: b\rContent-Length: 9"),
	"folded line":              with("A: b\r\n c"),
	"tab":                      with("A:\tb"),
	"NUL":                      with("A: b\x00"),
	"not ASCII":                with("A: \xff"),
	"no colon":                 with("A"),
	"no name":                  with(": b"),
	"space before the colon":   with("A : b"),
	"second length":            with("Content-Length: 5"),
	"another length":           with("Content-Length: 6"),
	"transfer encoding":        with("Transfer-Encoding: chunked"),
	"no transfer encoding":     with("Transfer-Encoding: identity"),
	"continue":                 with("Expect: 100-continue"),
	"upgrade":                  with("Upgrade: h2c"),
	"trailer":                  with("Trailer: A"),
	"trailers accepted":        with("TE: trailers"),
	"from a page":              with("Origin: https://a"),
	"close":                    with("Connection: close"),
	"upgrade, too":             with("Connection: keep-alive, Upgrade"),
	"second connection":        with("Connection: keep-alive\r\nConnection: keep-alive"),
	"second host":              with("Host: b"),
	"second type":              with("Content-Type: application/json"),
	"encoding not known":       with("Content-Encoding: snappy"),
	"encodings":                with("Content-Encoding: gzip\r\nContent-Encoding: gzip"),
	"encoding in capitals":     with("Content-Encoding: GZIP"),
	"no host":                  start + "Content-Length: 5\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"host that is none":        start + "Host: a b\r\nContent-Length: 5\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"no length":                start + "Host: a\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"signed length":            start + "Host: a\r\nContent-Length: +5\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"hexadecimal length":       start + "Host: a\r\nContent-Length: 0x5\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"list of lengths":          start + "Host: a\r\nContent-Length: 5, 5\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"empty length":             start + "Host: a\r\nContent-Length:\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"length that overflows":    start + "Host: a\r\nContent-Length: 18446744073709551621\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"length beyond the bound":  start + "Host: a\r\nContent-Length: 1048577\r\nContent-Type: application/x-protobuf\r\n\r\n",
	"no type":                  start + "Host: a\r\nContent-Length: 5\r\n\r\n",
	"JSON":                     start + "Host: a\r\nContent-Length: 5\r\nContent-Type: application/json\r\n\r\n",
	"type with a parameter":    start + "Host: a\r\nContent-Length: 5\r\nContent-Type: application/x-protobuf; a=b\r\n\r\n",
	"bad line without the end": start + "A b\r\n",
	"bad start":                "POST /v1/traces\r\n",
}

func TestHeadsServedHereMeanTheSameToNetHTTP(t *testing.T) {
	s := New(config(echo))
	for name, head := range plainHeads {
		t.Run(name, func(t *testing.T) {
			_, kind := s.parse([]byte(head))
			require.Equal(t, plain, kind)
			requireAgreement(t, s, []byte(head+"hello"))
			for n := range len(head) {
				_, kind := s.parse([]byte(head[:n]))
				require.Equal(t, partial, kind, head[:n])
			}
		})
	}
}

func TestHeadsThatAreNetHTTPs(t *testing.T) {
	s := New(config(echo))
	for name, head := range foreignHeads {
		_, kind := s.parse([]byte(head))
		assert.Equal(t, foreign, kind, name)
	}
}

// requireAgreement holds what is served here against what net/http reads.
func requireAgreement(t *testing.T, s *Server, sent []byte) {
	h, kind := s.parse(sent)
	if kind != plain {
		return
	}
	reader := bufio.NewReaderSize(bytes.NewReader(sent), len(sent)+16)
	r, err := http.ReadRequest(reader)
	require.NoError(t, err)
	require.Equal(t, http.MethodPost, r.Method)
	require.Equal(t, path, r.URL.Path)
	require.Equal(t, h.length, r.ContentLength)
	require.Empty(t, r.TransferEncoding)
	require.False(t, r.Close)
	require.Equal(t, h.encoding, r.Header.Get("Content-Encoding"))
	require.Equal(t, contentType, r.Header.Get("Content-Type"))
	require.Equal(t, len(sent)-h.size, reader.Buffered(), "the body begins at the same byte")
}

// What is served here is what net/http reads, and does not depend on how much has arrived.
func FuzzHead(f *testing.F) {
	for _, heads := range []map[string]string{plainHeads, foreignHeads} {
		for _, head := range heads {
			f.Add([]byte(head+"hello"), 10)
		}
	}
	s := New(config(echo))
	f.Fuzz(func(t *testing.T, sent []byte, n int) {
		requireAgreement(t, s, sent)
		if n < 0 || n > len(sent) {
			return
		}
		h, kind := s.parse(sent)
		early, before := s.parse(sent[:n])
		switch before {
		case foreign:
			require.Equal(t, foreign, kind)
		case plain:
			require.Equal(t, plain, kind)
			require.Equal(t, h.size, early.size)
		case partial:
		}
	})
}
