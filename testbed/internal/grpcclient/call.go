package grpcclient

import (
	"context"
	"time"

	"google.golang.org/grpc/mem"
)

// prefixSize is what stands before a message: whether it is compressed, and its length.
const prefixSize = 5

// call is one call on one connection. Until done is closed it is guarded by the connection's mutex.
type call struct {
	deadline time.Time // zero: none
	done     chan struct{}

	id       uint32     // 0: not opened
	message  mem.Buffer // nil once it is not needed any more
	total    int        // bytes of the message with its prefix
	sent     int        // of them
	writing  bool       // part of the message stands in what the writing goroutine holds
	window   int64      // what the server lets us send beyond the window of every call
	stalled  bool       // the message waits for the window
	finished bool

	headed   bool   // the answer's headers have come
	encoding string // of the answer
	received []byte
	unread   int // bytes received of which the server has not been told

	answer []byte
	err    error
	// unprocessed says that the server has not looked at the call.
	unprocessed bool
}

func newCall(ctx context.Context, message mem.Buffer) *call {
	k := &call{done: make(chan struct{}), message: message, total: prefixSize + message.Len()}
	k.deadline, _ = ctx.Deadline()
	message.Ref()
	return k
}

// release gives the message back when nobody needs it: it is sent or given up, and not being written.
func (k *call) release() {
	if k.message != nil && !k.writing && (k.finished || k.sent == k.total) {
		k.message.Free()
		k.message = nil
	}
}

// expired reports whether a call has a deadline that has passed: what a server then says about it is only the echo.
func (k *call) expired() bool { return !k.deadline.IsZero() && !time.Now().Before(k.deadline) }
