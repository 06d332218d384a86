package pooledotlp

import (
	"errors"
	"io"

	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// atHand is what is taken to have arrived of a body: net/http does not tell. The first buffer has 32 KiB then.
const atHand = 8 << 10

// readBody reads a body of the given length, or of an unknown one if that is negative.
func readBody(body io.Reader, length int64, buffers mem.BufferPool) (mem.BufferSlice, error) {
	if length < 0 {
		return mem.ReadAll(body, buffers)
	}
	var g bufpool.Gatherer
	g.Begin(buffers, int(length))
	for g.Missing() > 0 {
		n, err := io.ReadFull(body, g.Space(atHand))
		g.Took(n)
		if err != nil {
			g.Free()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return g.Take(), nil
}
