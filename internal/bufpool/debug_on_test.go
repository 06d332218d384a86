//go:build bufpooldebug

package bufpool

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const poisons = true

func TestAFreedBufferIsPoisoned(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := p.Get(2000)
	kept := *b
	p.Put(b)
	assert.Equal(t, byte(poison), kept[1999])
}

func TestASecondPutPanicsWithTheFirstOnesStack(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := p.Get(2000)
	p.Put(b)
	text := panicOf(func() { p.Put(b) })
	assert.Contains(t, text, "freed twice")
	assert.Contains(t, text, "TestASecondPutPanics")
}

func TestAWriteAfterThePutPanicsAtTheNextGet(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := p.Get(2000)
	kept := *b
	p.Put(b)
	kept[5] = 1
	assert.Contains(t, panicOf(func() { p.Get(2000) }), "byte 5 of a freed buffer of 2048 bytes was written")
}

func TestABufferOfAnotherPoolPanics(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := make([]byte, 4096)
	assert.Panics(t, func() { p.Put(&b) })
}

func TestOutstandingListsWhatWasNotReturned(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := p.Get(2000)
	leaks := p.Outstanding()
	require.Len(t, leaks, 1)
	assert.Equal(t, 2048, leaks[0].Size)
	assert.Contains(t, leaks[0].Stack, "TestOutstanding")
	p.Put(b)
	assert.Empty(t, p.Outstanding())
}

// panicOf returns the text f panics with.
func panicOf(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}
