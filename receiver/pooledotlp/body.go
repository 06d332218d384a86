package pooledotlp

import (
	"errors"
	"io"

	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// atHand is what is taken to have arrived of a body with its head: net/http does not tell. So the first buffer of a larger one has up to 32 KiB
// before any of it has been seen.
const atHand = 8 << 10

// readBody reads a body of the given length, or of an unknown one if that is negative. What the budget has no room for is bufpool.ErrNoRoom.
// What is taken to have arrived needs no room: it costs little more than its connection, and watchBody does not watch it, so that clients which
// stall would hold that room for ever.
func readBody(body io.Reader, length int64, buffers mem.BufferPool, budget *bufpool.Budget) (mem.BufferSlice, error) {
	if length < 0 {
		reserved := budget.Reserve()
		defer reserved.End()
		return bufpool.ReadAll(body, buffers, &reserved)
	}
	if length <= atHand {
		budget = nil
	}
	var g bufpool.Gatherer
	g.Begin(buffers, budget, int(length))
	for g.Missing() > 0 {
		space, err := g.Space(atHand)
		if err == nil {
			var n int
			n, err = io.ReadFull(body, space)
			g.Took(n)
		}
		if err != nil {
			g.Free()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	read, reserved := g.Take()
	reserved.End()
	return read, nil
}
