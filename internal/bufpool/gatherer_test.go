package bufpool

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fill copies bytes to a gatherer, step by step.
func fill(t *testing.T, g *Gatherer, from []byte, step int) {
	for len(from) > 0 {
		space, err := g.Space(min(step, len(from)))
		require.NoError(t, err)
		n := copy(space, from[:min(step, len(from))])
		g.Took(n)
		from = from[n:]
	}
}

func TestAGathererKeepsBytesInOrder(t *testing.T) {
	whole := make([]byte, 150_000)
	for i := range whole {
		whole[i] = byte(i * 7 >> 3)
	}
	for _, step := range []int{1, 100, 16 << 10, len(whole)} {
		p := New(DefaultConfig())
		var g Gatherer
		g.Begin(p, Reservation{}, len(whole))
		fill(t, &g, whole, step)
		require.Zero(t, g.Missing())
		got, _ := g.Take()
		assert.True(t, bytes.Equal(whole, got.Materialize()), "in steps of %d", step)
		assert.LessOrEqual(t, len(got), 18, "drops are gathered, so that none takes a buffer for itself")
		g.Free() // what was handed over stays
		assert.NotZero(t, p.Stats().InUse)
		got.Free()
		assert.Zero(t, p.Stats().InUse)
		p.Close()
	}
}

func TestAGathererReservesNothingForAnAnnouncement(t *testing.T) {
	const announced = 100 << 20
	p := New(DefaultConfig())
	defer p.Close()
	for _, sent := range []int{2000, 16_000, 150_000, 3 << 20} {
		var g Gatherer
		g.Begin(p, Reservation{}, announced)
		fill(t, &g, make([]byte, sent), 16_000)
		assert.Equal(t, announced-sent, g.Missing())
		// Size classes are larger by a fifth, the large ones by half.
		assert.LessOrEqual(t, p.Stats().InUseBytes, int64(sent*firstChunk*5/4), "%d bytes", sent)
		g.Free()
		assert.Zero(t, p.Stats().InUse, "%d bytes, half a buffer among them", sent)
	}
}

func TestAGathererTakesNoMoreThanIsMissing(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	var g Gatherer
	g.Begin(p, Reservation{}, 1500)
	space, err := g.Space(1000)
	require.NoError(t, err)
	assert.Len(t, space, 1500)
	g.Free()
	g.Begin(p, Reservation{}, 0)
	got, _ := g.Take()
	assert.Nil(t, got)
}

func TestAGathererStopsWhereTheBudgetEnds(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	budget := NewBudget(100_000)
	var first, second Gatherer
	first.Begin(p, budget.Reserve(), 60_000)
	fill(t, &first, make([]byte, 60_000), 60_000)
	second.Begin(p, budget.Reserve(), 60_000)
	_, err := second.Space(60_000)
	require.ErrorIs(t, err, ErrNoRoom)
	assert.EqualValues(t, 1, budget.Refused())
	assert.EqualValues(t, 60_000, budget.Held(), "what was refused is not held")

	got, reserved := first.Take()
	first.Free()
	assert.EqualValues(t, 60_000, budget.Held(), "the reservation went with the bytes")
	reserved.End()
	reserved.End()
	assert.Zero(t, budget.Held())
	got.Free()
	_, err = second.Space(60_000)
	require.NoError(t, err)
	second.Free()
	assert.Zero(t, budget.Held())
	assert.Zero(t, p.Stats().InUse)
}

func TestWhoReadsAloneHasRoom(t *testing.T) {
	budget := NewBudget(10)
	large, other := budget.Reserve(), budget.Reserve()
	assert.True(t, large.Grow(20))
	assert.True(t, large.Grow(20))
	assert.False(t, other.Grow(1))
	large.End()
	assert.True(t, other.Grow(1))
	assert.False(t, large.Grow(20))
	other.End()
	assert.Zero(t, budget.Held())
	unbounded := NewBudget(0)
	a, b := unbounded.Reserve(), unbounded.Reserve()
	assert.True(t, a.Grow(1<<40))
	assert.True(t, b.Grow(1<<40))
	assert.EqualValues(t, 2<<40, unbounded.Held(), "counted all the same")
}

func TestReadAllReservesAsItGrows(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	budget := NewBudget(1 << 20)
	whole := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, reader := range []func(io.Reader) io.Reader{iotest.DataErrReader, iotest.HalfReader, func(r io.Reader) io.Reader { return r }} {
		reserved := budget.Reserve()
		got, err := ReadAll(reader(bytes.NewReader(whole)), p, &reserved)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(whole, got.Materialize()))
		assert.GreaterOrEqual(t, budget.Held(), int64(len(whole)))
		got.Free()
		reserved.End()
	}
	other := budget.Reserve()
	require.True(t, other.Grow(1))
	for want, from := range map[error]io.Reader{
		ErrNoRoom:           iotest.OneByteReader(zeros{}),
		io.ErrUnexpectedEOF: io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(io.ErrUnexpectedEOF)), // what decompressors say
	} {
		reserved := budget.Reserve()
		_, err := ReadAll(from, p, &reserved)
		require.ErrorIs(t, err, want)
		assert.LessOrEqual(t, budget.Held(), int64(1<<20))
		reserved.End()
	}
	other.End()
	assert.Zero(t, budget.Held())
	assert.Zero(t, p.Stats().InUse)
}

// Requests that wait hold their buffers, and may be many: what is read in 32 KiB must not take as much.
func TestReadAllKeepsNoMoreThanHalfAgain(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	for _, size := range []int{0, 1, 700, unpooled, unpooled + 1, 4_600, 12_000, readChunk*2/3 - 1, readChunk*2/3 + 1, readChunk, readChunk + 1, 43_000, 50_000, 200_000} {
		var reserved Reservation
		whole := bytes.Repeat([]byte{7}, size)
		got, err := ReadAll(bytes.NewReader(whole), p, &reserved)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(whole, got.Materialize()), size)
		assert.LessOrEqual(t, p.Stats().InUseBytes, int64(max(1<<minClassBits, size*3/2)), "%d bytes are held in %d buffers", size, len(got))
		got.Free()
		assert.Zero(t, p.Stats().InUse)
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
