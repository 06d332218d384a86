package unaryhttp

import (
	"errors"
	"os"
	"sync"
	"time"
)

// watchAfter is how long a request is handled before the connection is read meanwhile, to notice that its client is gone. Nearly all
// are answered earlier, and then the second goroutine and its system calls are spared.
const watchAfter = 250 * time.Millisecond

// watch notices that the client goes away while its request is handled. The connection's mutex guards it.
type watch struct {
	timer   *time.Timer
	wanted  bool // a request is handled whose body has been read
	reading bool
	ended   sync.Cond // reading
}

// startWatching is called when the body has been read. What the client has sent already is the next request; it is there.
func (c *conn) startWatching() {
	if len(c.unused()) > 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch.wanted = true
	if c.watch.timer == nil {
		c.watch.timer = time.AfterFunc(watchAfter, c.watchClient)
		return
	}
	c.watch.timer.Reset(watchAfter)
}

// watchClient reads one byte, which is the next request's first, or an error.
func (c *conn) watchClient() {
	w := &c.watch
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.wanted || w.reading || len(c.unused()) > 0 { // a timer that was late for the request before has read for this one
		return
	}
	w.reading = true
	_ = c.net.SetReadDeadline(time.Time{})
	c.start, c.end = 0, 0
	c.mu.Unlock()
	n, err := c.net.Read(c.buffer[:1])
	c.mu.Lock()
	c.end = n
	if err != nil && w.wanted && !errors.Is(err, os.ErrDeadlineExceeded) { // deadlines are the endpoint's, and say nothing of the client
		c.cancel()
	}
	w.reading = false
	w.ended.Broadcast()
}

// stopWatching returns when nobody but the connection's goroutine reads.
func (c *conn) stopWatching() {
	w := &c.watch
	c.mu.Lock()
	defer c.mu.Unlock()
	if !w.wanted {
		return
	}
	w.wanted = false
	w.timer.Stop()
	if w.reading {
		_ = c.net.SetReadDeadline(time.Unix(1, 0))
	}
	for w.reading {
		w.ended.Wait()
	}
}
