package wire

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/testdata"
	"google.golang.org/grpc/mem"
)

// wrap puts b into a message, that into another, and so on: each is the last of its fields, behind those around it. It writes from the
// end, as copying so many messages into each other takes long.
func wrap(b []byte, times int, fields []int, around ...[]byte) []byte {
	before := slices.Concat(around...)
	out := make([]byte, len(b)+times*(len(before)+12))
	at := len(out)
	prepend := func(p []byte) { at -= copy(out[at-len(p):], p) }
	prepend(b)
	for i := range times {
		prepend(before)
		tag := uint64(fields[i%len(fields)])<<3 | uint64(typeLen)
		prepend(binary.AppendUvarint(binary.AppendUvarint(nil, tag), uint64(len(out)-at)))
	}
	return out[at:]
}

func TestTooDeep(t *testing.T) {
	group, one := raw(0x4b), []int{1}
	for name, test := range map[string]struct {
		data []byte
		want bool
	}{
		"empty":                       {nil, false},
		"as deep as allowed":          {wrap(num(1, 1), maxDepth, one), false},
		"one deeper":                  {wrap(num(1, 1), maxDepth+1, one), true},
		"behind other fields":         {slices.Concat(str(1, "text"), fix32(3, 1), fix64(3, 1), wrap(num(1, 1), maxDepth+1, one)), true},
		"beside fields at each level": {wrap(num(1, 1), maxDepth+1, one, num(2, 1<<63), fix64(3, 1), str(4, "service.name")), true},
		"beside groups":               {wrap(num(1, 1), maxDepth+1, one, group, num(1, 1), raw(0x4c)), true},
		"beside a group not ended":    {wrap(num(1, 1), maxDepth+1, one, group), true},
		"behind a malformed field":    {slices.Concat(msg(1, raw(0xff, 0xff)), wrap(num(1, 1), maxDepth+1, one)), true},
		"behind the end":              {slices.Concat(raw(0x4f), wrap(num(1, 1), maxDepth+1, one)), false}, // no decoder goes beyond it
		"lengths that lie":            {slices.Concat(raw(0x0a, 0xff, 0xff, 0xff, 0x7f), wrap(num(1, 1), maxDepth+1, one)), false},
	} {
		assert.Equal(t, test.want, TooDeep(test.data), name)
	}
}

func TestTelemetryIsNotTooDeep(t *testing.T) {
	for _, signal := range []Signal{Traces, Metrics, Logs} {
		for _, data := range seeds(signal) {
			assert.False(t, TooDeep(data))
		}
	}
	profiles, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(testdata.GenerateProfiles(100))
	require.NoError(t, err)
	assert.False(t, TooDeep(profiles))
}

// FuzzTooDeep: what the typed walk finds too deep is found here too. The fuzzer's bytes stand beside the deep part, at each of its
// levels.
func FuzzTooDeep(f *testing.F) {
	for _, h := range handmade {
		f.Add(h.data)
	}
	f.Fuzz(func(t *testing.T, beside []byte) {
		if len(beside) > 100 {
			return
		}
		// Arrays in values, in an attribute of a resource.
		value := wrap(nil, maxDepth, []int{1, 5}, beside)
		data := msg(1, msg(1, msg(1, msg(2, value))))
		_, err := Check(Traces, frames(data, 0))
		var syntax *SyntaxError
		if errors.As(err, &syntax) && syntax.Rule == ruleNames[ruleDepth] {
			require.True(t, TooDeep(data))
		}
	})
}

func BenchmarkTooDeep(b *testing.B) {
	r, err := FromTraces(spans(1000, 1000), mem.NopBufferPool{})
	require.NoError(b, err)
	data := r.AppendTo(nil)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		TooDeep(data)
	}
}
