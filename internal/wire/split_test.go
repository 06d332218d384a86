package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
)

// framing is more than the tags and lengths of a piece's containers take.
const framing = 64

// withHeader are requests of n items in one container whose header is repeated where they are divided, at each level that has one.
var withHeader = map[string]struct {
	signal Signal
	make   func(header, n int, item []byte) []byte
}{
	"a resource with spans": {Traces, func(header, n int, item []byte) []byte {
		return msg(1, msg(1, msg(1, str(1, "k"), msg(2, str(1, strings.Repeat("v", header))))), msg(2, scope, bytes.Repeat(msg(2, item), n)))
	}},
	"a resource after its spans": {Traces, func(header, n int, item []byte) []byte {
		return msg(1, msg(2, bytes.Repeat(msg(2, item), n), scope), msg(1, msg(1, str(1, "k"), msg(2, str(1, strings.Repeat("v", header))))))
	}},
	"a scope with log records": {Logs, func(header, n int, item []byte) []byte {
		return msg(1, resource, msg(2, msg(1, str(1, strings.Repeat("s", header))), bytes.Repeat(msg(2, item), n)))
	}},
	"a metric with points": {Metrics, func(header, n int, item []byte) []byte {
		return msg(1, resource, msg(2, scope, msg(2, str(1, "m"), str(2, strings.Repeat("d", header)), msg(5, bytes.Repeat(msg(1, item), n)))))
	}},
}

// splitOf splits a request and returns the pieces' items, and the bytes of all.
func splitOf(t *testing.T, signal Signal, data []byte, maxItems, maxBytes int) (items []int, total int) {
	t.Helper()
	pool := newPool(t)
	pieces, err := mustCheck(t, signal, frames(data, 16<<10)).Split(maxItems, maxBytes, pool)
	require.NoError(t, err)
	for _, p := range pieces {
		_, err := decode(p)
		require.NoError(t, err)
		items = append(items, p.Items())
		total += p.Bytes()
		p.Free()
	}
	assert.LessOrEqual(t, total, 2*len(data)+FreeRepeats+framing*len(pieces), "no request is multiplied")
	return items, total
}

func TestAHeaderLargerThanTheItemsIsNotRepeated(t *testing.T) {
	const header, n = 200 << 10, 2000
	for name, c := range withHeader {
		for limit, l := range map[string]struct{ maxItems, maxBytes int }{
			"by bytes that the header exceeds":      {0, header - 1000},
			"by both":                               {100, header - 1000},
			"by items":                              {100, 0},
			"by bytes that leave room for one item": {0, header + 200},
		} {
			t.Run(name+" "+limit, func(t *testing.T) {
				items, total := splitOf(t, c.signal, c.make(header, n, nil), l.maxItems, l.maxBytes)
				assert.Equal(t, []int{n}, items)
				assert.Less(t, total, header+3*n)
			})
		}
	}
}

func TestAHeaderIsRepeatedOnceAsManyBytesOfItemsCameBefore(t *testing.T) {
	const header, n, perItem = 200 << 10, 1000, 1 << 10
	for name, c := range withHeader {
		t.Run(name, func(t *testing.T) {
			items, _ := splitOf(t, c.signal, c.make(header, n, str(99, strings.Repeat("x", perItem))), 10, 0)
			last := len(items) - 1
			rest := n - items[last]
			for i, got := range items[:last] {
				rest -= got
				assert.InDelta(t, header/perItem, got, float64(FreeRepeats/perItem+5), "request %d", i)
			}
			assert.Zero(t, rest, "items after the split")
		})
	}
}

func TestSmallHeadersAreRepeatedAsTheLimitsSay(t *testing.T) {
	const n = 300
	for name, c := range withHeader {
		t.Run(name, func(t *testing.T) {
			items, _ := splitOf(t, c.signal, c.make(100, n, nil), 1, 0)
			assert.Equal(t, slices.Repeat([]int{1}, n), items)
		})
	}
}

func TestALargeHeaderKeepsNoOtherResourceFromBeingDivided(t *testing.T) {
	resourceWithSpans := withHeader["a resource with spans"].make
	large, plain := resourceWithSpans(200<<10, 1000, nil), resourceWithSpans(20, 1000, str(5, "name"))
	for name, c := range map[string]struct {
		data []byte
		want []int
	}{
		"the large one first": {slices.Concat(large, plain), append([]int{1000}, slices.Repeat([]int{100}, 10)...)},
		"the large one last":  {slices.Concat(plain, large), append(slices.Repeat([]int{100}, 10), 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			items, _ := splitOf(t, Traces, c.data, 100, 0)
			assert.Equal(t, c.want, items)
		})
	}
}

func TestWhatCannotBeDividedIsNotCopied(t *testing.T) {
	c := withHeader["a resource with spans"]
	r := mustCheck(t, c.signal, mem.BufferSlice{mem.SliceBuffer(c.make(200<<10, 1000, nil))})
	pool := newPool(t)
	pieces, err := r.Split(100, 0, pool)
	require.NoError(t, err)
	assert.Equal(t, []*Request{r}, pieces)
	assert.Zero(t, pool.Stats().InUse)
}
