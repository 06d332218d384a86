// Package guarded makes errors of the panics of decompressors: they parse what anybody sends, many are other people's, and a client that is told that
// its request is bad does not send it again.
package guarded

import (
	"fmt"
	"io"
)

// Reader reads from a decompressor. It is not safe for concurrent use.
type Reader struct {
	inner  io.Reader
	broken bool // it has panicked, and is in no known state
}

// Open begins to decompress.
func Open(open func() (io.Reader, error)) (r *Reader, err error) {
	defer recovered(&err)
	inner, err := open()
	if err != nil {
		return nil, err
	}
	return &Reader{inner: inner}, nil
}

// Read reads on. It is not called again after an error.
func (r *Reader) Read(p []byte) (n int, err error) {
	r.broken = true
	defer recovered(&err)
	n, err = r.inner.Read(p)
	r.broken = false
	return n, err
}

// Close closes a decompressor that can be closed, and keeps one that has panicked from its pool.
func (r *Reader) Close() error {
	closer, closes := r.inner.(io.Closer)
	if r.broken || !closes {
		return nil
	}
	return closer.Close()
}

func recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fmt.Errorf("decompression panic: %v", panicked)
	}
}
