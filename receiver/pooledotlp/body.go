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

// readBody reads a body of the given length, or of an unknown one if that is negative. What the budget has no room for is bufpool.ErrNoRoom. What is
// reserved is the caller's to end in any case, after a panic of the body's too, and may grow with what becomes of the body.
// What is taken to have arrived needs no room: it costs little more than its connection, and watchBody does not watch it, so that clients which
// stall would hold that room for ever.
func readBody(body io.Reader, length int64, buffers mem.BufferPool, budget *bufpool.Budget, reserved *bufpool.Reservation) (mem.BufferSlice, error) {
	*reserved = budget.Reserve()
	if length < 0 {
		return bufpool.ReadAll(body, buffers, reserved)
	}
	counted := budget
	if length <= atHand {
		counted = nil
	}
	var g bufpool.Gatherer
	g.Begin(buffers, counted.Reserve(), int(length))
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
	read, taken := g.Take()
	if counted != nil {
		*reserved = taken
	}
	return read, nil
}
