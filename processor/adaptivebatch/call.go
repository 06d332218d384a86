package adaptivebatch

import (
	"context"
	"time"
)

// call is what one caller brought, until its answer is known. Its fields are guarded by the batcher's mutex, except for
// answer.
type call struct {
	ctx    context.Context
	stream *stream
	parts  []payload // those not yet in the stream's queue
	bytes  int64
	// arrived is when the call began; its answer comes at the latest max_wait later.
	arrived time.Time
	// batches are those that carry parts of this call; nearly always one.
	batches  []*batch
	firstOne [1]*batch
	// unanswered counts the parts whose result is not known.
	unanswered int
	err        error
	// gone says that the caller has its answer, or has left: nobody waits for the parts that are still on their way.
	gone bool
	// detached says that the caller was answered on admission and the parts go on without it.
	detached bool
	answer   chan error // holds the only answer

	holding bool // in the list below
	// The list of calls that wait for their answer, in order of arrival.
	previous, next *call
}

func (c *call) addBatch(e *batch) {
	if c.batches == nil {
		c.batches = c.firstOne[:0]
	}
	c.batches = append(c.batches, e)
}

// part is a piece of a call: the whole call, unless it exceeds the limits of a batch.
type part struct {
	call    *call
	payload payload
	items   int
	bytes   int64
	arrived time.Time
}

// abandoned reports whether nobody wants the part's result any more, so that it need not be sent.
func (p *part) abandoned() bool { return p.call.gone && !p.call.detached }

// callList is a doubly linked list of calls in order of arrival, so that the longest held is first.
type callList struct {
	first, last *call
	length      int
}

func (l *callList) push(c *call) {
	c.previous = l.last
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
	l.length++
}

func (l *callList) remove(c *call) {
	if c.previous == nil {
		l.first = c.next
	} else {
		c.previous.next = c.next
	}
	if c.next == nil {
		l.last = c.previous
	} else {
		c.next.previous = c.previous
	}
	c.previous, c.next = nil, nil
	l.length--
}
