package bufpool

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fill copies bytes to a gatherer, step by step.
func fill(g *Gatherer, from []byte, step int) {
	for len(from) > 0 {
		n := copy(g.Space(min(step, len(from))), from[:min(step, len(from))])
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
		g.Begin(p, len(whole))
		fill(&g, whole, step)
		require.Zero(t, g.Missing())
		got := g.Take()
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
		g.Begin(p, announced)
		fill(&g, make([]byte, sent), 16_000)
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
	g.Begin(p, 1500)
	assert.Len(t, g.Space(1000), 1500)
	g.Free()
	g.Begin(p, 0)
	assert.Nil(t, g.Take())
}
