// Package workers runs short tasks in goroutines that outlive them. A new goroutine's stack has to grow anew, copy by copy, for each task
// that calls deep into a pipeline: a twelfth of the CPU where each request of 100 spans had a goroutine of its own.
package workers

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// maxIdlePerCPU bounds the goroutines that wait for a task: enough for the callers that usually wait for an answer at once.
const maxIdlePerCPU = 64

// Pool runs tasks of one kind. There is no bound on those running: whoever has tasks bounds them. It may be used from several goroutines
// at once.
type Pool[T any] struct {
	run     func(T)
	tasks   chan T
	stopped chan struct{}
	stop    sync.Once
	idle    atomic.Int64
	maxIdle int64
}

// New returns a pool whose tasks are run by a function. It has no goroutines yet.
func New[T any](run func(T)) *Pool[T] {
	return &Pool[T]{
		run: run, tasks: make(chan T), stopped: make(chan struct{}), maxIdle: int64(maxIdlePerCPU * runtime.GOMAXPROCS(0)),
	}
}

// Do runs a task in a goroutine that waits for one, or in a new one. It does not wait. After Stop, every goroutine is a new one.
func (p *Pool[T]) Do(task T) {
	select {
	case p.tasks <- task:
	default:
		go p.work(task)
	}
}

func (p *Pool[T]) work(task T) {
	for {
		p.run(task)
		if p.idle.Add(1) > p.maxIdle {
			p.idle.Add(-1)
			return
		}
		var none T
		task = none // while it waits, the goroutine keeps nothing alive
		select {
		case task = <-p.tasks:
			p.idle.Add(-1)
		case <-p.stopped:
			return
		}
	}
}

// Stop ends the goroutines that wait, and those at work when their task has ended. It may be repeated.
func (p *Pool[T]) Stop() { p.stop.Do(func() { close(p.stopped) }) }
