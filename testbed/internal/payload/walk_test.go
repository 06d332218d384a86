package payload

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/encoding/protowire"
)

// What comes from a Collector may be anything. The borders of fields are those that protowire finds.
func FuzzFields(f *testing.F) {
	body := newSet(f, Traces, 3).AppendRequest(nil, 0)
	for _, seed := range [][]byte{body, body[:len(body)-1], {0x0a}, {0x0a, 0x01}, {0x0a, 0x7f, 0}, {0x02, 0x00}, {0x0a, 0x80, 0x00}, {0x82, 0x01, 0x00}, {0x0a, 0x80}} {
		f.Add(seed)
	}
	type border struct {
		num      protowire.Number
		from, to int
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want, got []border
		broken := false
		for pos := 0; pos < len(body); {
			num, typ, tag := protowire.ConsumeTag(body[pos:])
			if tag < 0 {
				broken = true
				break
			}
			size := protowire.ConsumeFieldValue(num, typ, body[pos+tag:])
			if size < 0 {
				broken = true
				break
			}
			from := pos + tag
			pos = from + size
			if typ == protowire.BytesType {
				_, prefix := protowire.ConsumeVarint(body[from:])
				from += prefix
			}
			want = append(want, border{num, from, pos})
		}
		err := fields(body, 0, len(body), func(num protowire.Number, from, to int) error {
			got = append(got, border{num, from, to})
			return nil
		})
		assert.Equal(t, broken, err != nil, "%v", err)
		assert.Equal(t, want, got)
	})
}
