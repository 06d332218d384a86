package adaptivebatch

import (
	"context"
	"slices"
	"time"
)

// call is what one caller brought, until its answer is known. Its fields are guarded by the batcher's mutex, except for
// answer, and for what does not change once it is with the batcher: ctx, stream and what its parts carry.
type call struct {
	ctx    context.Context
	stream *stream
	// parts are nearly always one, and then it is firstPart.
	parts     []part
	firstPart [1]part
	bytes     int64
	// arrived is when the call began; its answer comes at the latest max_wait later. entered is when it was let in.
	arrived, entered time.Time
	// batches are those that carry parts of this call whose result is not known, once for each; nearly always one.
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

	held seat[call] // among the calls that wait for their answer
	door seat[call] // among those of its stream that wait for room
}

// part is a piece of a call: the whole call, unless it exceeds the limits of a batch.
type part struct {
	call    *call
	payload payload
	items   int
	bytes   int64
	queued  seat[part] // in its stream's queue
}

// carry makes parts of what the caller brought.
func (c *call) carry(pieces []payload) {
	c.parts = c.firstPart[:0]
	if len(pieces) > 1 {
		c.parts = make([]part, 0, len(pieces))
	}
	for _, p := range pieces {
		bytes := int64(p.bytes())
		c.parts = append(c.parts, part{call: c, payload: p, items: p.items(), bytes: bytes})
		c.bytes += bytes
	}
}

// free gives up what the caller brought and was not let in.
func (c *call) free() {
	for i := range c.parts {
		c.parts[i].payload.free()
	}
}

func (c *call) addBatch(e *batch) {
	if c.batches == nil {
		c.batches = c.firstOne[:0]
	}
	c.batches = append(c.batches, e)
}

// leaveBatch undoes one addBatch.
func (c *call) leaveBatch(e *batch) {
	i := slices.Index(c.batches, e)
	c.batches = slices.Delete(c.batches, i, i+1)
}

// abandoned reports whether nobody wants the part's result any more, so that it need not be sent.
func (p *part) abandoned() bool { return p.call.gone && !p.call.detached }
