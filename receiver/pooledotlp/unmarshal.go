package pooledotlp

import (
	"bytes"
	"cmp"
	"errors"

	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// shallowSize is up to which requests cannot be nested so deep that decoding them takes much memory: pdata decodes by recursion, and each
// byte of such a request may cost 75 bytes of stack. A stack of 1 GB ends the process.
const shallowSize = 128 << 10

var errTooDeep = errors.New("malformed request: messages are nested deeper than 10000")

// unmarshal decodes a request, and says of a malformed one where and why, as on the byte path.
func (s *signal[T]) unmarshal(b []byte) (T, error) {
	var none T
	if s.encode == nil { // profiles, which wire does not know
		if len(b) > shallowSize && wire.TooDeep(b) {
			return none, errTooDeep
		}
		return s.unmarshalProto(b)
	}
	if len(b) > shallowSize {
		if err := s.check(b); err != nil {
			return none, err
		}
	}
	value, err := s.unmarshalProto(b)
	if err != nil {
		err = cmp.Or(s.check(b), err)
	}
	return value, err
}

func (s *signal[T]) check(b []byte) error {
	_, err := wire.Check(s.kind, mem.BufferSlice{mem.SliceBuffer(b)})
	return err
}

// maxJSONDepth is about what 10,000 messages are in JSON: a value in an array takes two messages, or three brackets.
const maxJSONDepth = 15000

// jsonTooDeep reports whether brackets are nested deeper than maxJSONDepth. It need not be right about text that is no JSON.
func jsonTooDeep(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			if depth++; depth > maxJSONDepth {
				return true
			}
		case '}', ']':
			depth--
		case '"':
			i = stringEnd(b, i+1)
		}
	}
	return false
}

// stringEnd returns the index of the quote that ends the string whose contents begin at i, or the end of b.
func stringEnd(b []byte, i int) int {
	for {
		n := bytes.IndexAny(b[i:], `"\\`)
		switch {
		case n < 0:
			return len(b)
		case b[i+n] == '"':
			return i + n
		case i+n+1 >= len(b):
			return len(b)
		}
		i += n + 2 // behind what the backslash escapes
	}
}
