package bufpool

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
	"google.golang.org/grpc/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGetReturnsTheLengthAskedForInTheSmallestClass(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	for _, c := range []struct{ length, capacity int }{
		{0, 0}, {1, 1}, {1024, 1024}, // left to the garbage collector
		{1025, 2048}, {2048, 2048}, {2049, 2560}, {2561, 3072}, {3073, 3584}, {3585, 4096}, {16 << 10, 16 << 10}, {16<<10 + 1, 20 << 10},
		{16 << 20, 16 << 20},
		{16<<20 + 1, 16<<20 + 1}, // larger than the largest class
	} {
		b := p.Get(c.length)
		assert.Len(t, *b, c.length)
		assert.Equal(t, c.capacity, cap(*b))
		p.Put(b)
	}
}

func TestEveryLengthHasTheSmallestClassThatHoldsIt(t *testing.T) {
	for i := range numClasses {
		size := int(classSize(i))
		assert.Equal(t, i, classFor(size))
		if i+1 < numClasses {
			assert.Equal(t, i+1, classFor(size+1))
			if size < 256<<10 {
				assert.LessOrEqual(t, classSize(i+1)*4, int64(size)*5, "a class wastes a fifth of its buffer at most")
			} else {
				assert.Equal(t, int64(size)*2, classSize(i+1))
			}
		}
	}
	assert.Equal(t, int64(1<<maxClassBits), classSize(numClasses-1))
}

func TestAReturnedBufferIsReusedUncleared(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := p.Get(3600)
	(*b)[3599] = 7
	*b = (*b)[:10] // whoever returns it may have shortened it
	p.Put(b)
	again := p.Get(4000)
	assert.Same(t, b, again)
	assert.Len(t, *again, 4000)
	if !poisons {
		assert.Equal(t, byte(7), (*again)[3599])
	}
	assert.Equal(t, Stats{Hits: 1, Misses: 1, InUse: 1, InUseBytes: 4096}, p.Stats())
	p.Put(again)
}

func TestMemReturnsABufferWithItsLastReference(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	b := mem.NewBuffer(p.Get(5000), p)
	b.Ref()
	view := b.Slice(10, 20)
	b.Free()
	b.Free()
	assert.Zero(t, p.Stats().IdleBytes, "a view still refers to it")
	view.Free()
	assert.Equal(t, Stats{Misses: 1, IdleBytes: 5120}, p.Stats())
}

func TestBuffersBeyondTheBoundAreDropped(t *testing.T) {
	p := New(Config{MaxIdleBytes: 10 << 10, TTL: time.Minute})
	defer p.Close()
	var held []*[]byte
	for range 4 {
		held = append(held, p.Get(4096))
	}
	for _, b := range held {
		p.Put(b)
	}
	assert.Equal(t, Stats{Misses: 4, Dropped: 2, IdleBytes: 8192}, p.Stats())
}

func TestOversizedAndForeignBuffersAreDropped(t *testing.T) {
	p := New(DefaultConfig())
	defer p.Close()
	large := p.Get(17 << 20)
	assert.Equal(t, Stats{Misses: 1, InUse: 1, InUseBytes: 17 << 20}, p.Stats())
	p.Put(large)
	assert.Equal(t, Stats{Misses: 1, Dropped: 1}, p.Stats())

	foreign := make([]byte, 3000)
	p.Put(&foreign)
	assert.Equal(t, Stats{Misses: 1, Dropped: 2}, p.Stats())

	small := make([]byte, 100)
	p.Put(&small)
	assert.Equal(t, Stats{Misses: 1, Dropped: 2}, p.Stats(), "small ones are nobody's")
}

func TestIdleBuffersAreReleasedAfterTheTTLAndBusyOnesKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{MaxIdleBytes: 1 << 20, TTL: time.Minute})
		defer p.Close()
		a, b, c := p.Get(2048), p.Get(2048), p.Get(8192)
		p.Put(a)
		p.Put(b)
		p.Put(c)

		// One of the small ones is used every half minute; the others are not.
		for range 5 {
			time.Sleep(30 * time.Second)
			p.Put(p.Get(2048))
		}
		s := p.Stats()
		assert.Equal(t, int64(2048), s.IdleBytes)
		assert.Equal(t, uint64(2), s.Released)
		assert.Equal(t, uint64(5), s.Hits)

		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Zero(t, p.Stats().IdleBytes)

		// The timer has gone with the last buffer and comes back with the next.
		p.Put(p.Get(2048))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s = p.Stats()
		assert.Zero(t, s.IdleBytes)
		assert.Equal(t, uint64(4), s.Released)
	})
}

func TestWithoutTTLNothingIsReleasedUntilClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{MaxIdleBytes: 1 << 20})
		p.Put(p.Get(2048))
		time.Sleep(time.Hour)
		assert.Equal(t, int64(2048), p.Stats().IdleBytes)
		p.Close()
		assert.Zero(t, p.Stats().IdleBytes)
	})
}

func TestAClosedPoolStillWorksAndStartsNoTimer(t *testing.T) {
	p := New(DefaultConfig())
	p.Close()
	p.Close()
	p.Put(p.Get(2048))
	assert.Nil(t, p.timer)
	assert.Equal(t, int64(2048), p.Stats().IdleBytes)
	p.sweep() // a timer that fired while Close ran
	assert.Equal(t, int64(2048), p.Stats().IdleBytes)
}

func TestConcurrentUseBalances(t *testing.T) {
	p := New(Config{MaxIdleBytes: 64 << 10, TTL: time.Millisecond})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				b := p.Get(1025 << (uint(i+g) % 5))
				(*b)[0] = byte(g)
				p.Put(b)
			}
		})
	}
	wg.Wait()
	s := p.Stats()
	assert.Zero(t, s.InUse)
	assert.Zero(t, s.InUseBytes)
	assert.LessOrEqual(t, s.IdleBytes, int64(64<<10))
	assert.Equal(t, uint64(16000), s.Hits+s.Misses)
	p.Close()
	assert.Zero(t, p.Stats().IdleBytes)
}
