package workers

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTasksRunAtOnceAndGoroutinesAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ran []int
		release := make(chan struct{})
		p := New(func(n int) {
			<-release
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, n)
		})
		for n := range 3 {
			p.Do(n)
		}
		synctest.Wait()
		assert.Empty(t, ran, "none waits for another")
		close(release)
		synctest.Wait()
		assert.ElementsMatch(t, []int{0, 1, 2}, ran)
		assert.EqualValues(t, 3, p.idle.Load())

		p.Do(3)
		synctest.Wait()
		assert.Len(t, ran, 4)
		assert.EqualValues(t, 3, p.idle.Load(), "one of those that waited has run it")
		p.Stop()
		p.Stop()
	})
}

func TestNoMoreThanTheBoundWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := New(func(struct{}) { <-release })
		p.maxIdle = 2
		for range 5 {
			p.Do(struct{}{})
		}
		close(release)
		synctest.Wait()
		assert.EqualValues(t, 2, p.idle.Load())
		p.Stop()
	})
}

func TestTasksRunAfterTheStopToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := false
		p := New(func(struct{}) { ran = true })
		p.Stop()
		p.Do(struct{}{})
		synctest.Wait()
		assert.True(t, ran)
	})
}
