package pooledotlp

import (
	"errors"
	"io"

	"google.golang.org/grpc/mem"
)

// firstChunk is the buffer for the beginning of a body. What follows is read into buffers no larger than what has arrived already: a
// client that announces much and sends little takes at most twice the memory of what it has sent.
const firstChunk = 32 << 10

// readBody reads a body of the given length, or of an unknown one if that is negative. On an error the caller frees what was read, too.
func readBody(body io.Reader, length int64, buffers mem.BufferPool) (mem.BufferSlice, error) {
	if length < 0 {
		return mem.ReadAll(body, buffers)
	}
	var read mem.BufferSlice
	for got := 0; int64(got) < length; {
		chunk := buffers.Get(int(min(length-int64(got), int64(max(firstChunk, got)))))
		n, err := io.ReadFull(body, *chunk)
		*chunk = (*chunk)[:n]
		read = append(read, mem.NewBuffer(chunk, buffers))
		if got += n; err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return read, err
		}
	}
	return read, nil
}
