package unarygrpc

import (
	"context"
	"runtime"
	"sync/atomic"
)

// maxIdlePerCPU bounds the goroutines that wait for a next call. Enough for the callers that usually wait for a busy server's answers.
const maxIdlePerCPU = 64

// task is a call to handle.
type task struct {
	conn   *conn
	stream *stream
	ctx    context.Context
}

// workers handles calls in goroutines that outlive them: a new goroutine's stack would have to grow anew for each call, through a whole
// pipeline, which took a twelfth of the CPU at 100 spans a call.
type workers struct {
	tasks   chan task
	stopped chan struct{}
	idle    atomic.Int64
	maxIdle int64
}

func newWorkers() *workers {
	return &workers{tasks: make(chan task), stopped: make(chan struct{}), maxIdle: int64(maxIdlePerCPU * runtime.GOMAXPROCS(0))}
}

// do handles a call in a goroutine that waits for one, or in a new one.
func (w *workers) do(t task) {
	select {
	case w.tasks <- t:
	default:
		go w.work(t)
	}
}

func (w *workers) work(t task) {
	for {
		t.conn.run(t.ctx, t.stream)
		if w.idle.Add(1) > w.maxIdle {
			w.idle.Add(-1)
			return
		}
		t = task{} // keeps nothing of the call alive
		select {
		case t = <-w.tasks:
			w.idle.Add(-1)
		case <-w.stopped:
			return
		}
	}
}

// stop ends those that wait.
func (w *workers) stop() { close(w.stopped) }
