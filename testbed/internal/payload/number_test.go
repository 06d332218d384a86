package payload

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnscrambleUndoesScramble(t *testing.T) {
	for _, x := range []uint64{0, 1, 2, 1 << 31, 1<<63 + 12345, ^uint64(0)} {
		assert.Equal(t, x, unscramble(scramble(x)))
	}
	for x := uint64(1); x != 0 && x < 1<<63; x = x*3 + 1 {
		assert.Equal(t, x, unscramble(scramble(x)))
	}
}

func TestNumbersSurviveSpanIDsAndTimestamps(t *testing.T) {
	for n := range uint64(10_000) {
		id := spanID(n)
		assert.Equal(t, n, numberOfSpan(id[:]))
		assert.Equal(t, n, numberOfTime(timestamp(n)))
		assert.NotZero(t, id)
	}
}

func TestForeignIdentitiesAreUnknown(t *testing.T) {
	assert.Equal(t, Unknown, numberOfSpan(nil))
	assert.Equal(t, Unknown, numberOfSpan([]byte{1, 2, 3}))
	assert.Equal(t, Unknown, numberOfTime(42))
	assert.Equal(t, Unknown, numberOfTime(timestamp(7)+1), "the noise below a microsecond is part of the number's check")
}

func TestTraceContextLinksThreeServices(t *testing.T) {
	const n = 10
	for index := range uint64(n) {
		first, root := traceContext(3*n+index, n)
		second, parent2 := traceContext(4*n+index, n)
		third, parent3 := traceContext(5*n+index, n)
		assert.Equal(t, first, second)
		assert.Equal(t, first, third)
		assert.Zero(t, root)
		assert.Equal(t, spanID(3*n+index), parent2)
		assert.Equal(t, spanID(4*n+index), parent3)
	}
	here, _ := traceContext(0, n)
	next, _ := traceContext(3*n, n)
	assert.NotEqual(t, here, next)
}
