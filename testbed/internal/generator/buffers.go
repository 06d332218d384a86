package generator

import "sync"

// bufferPool reuses the memory of requests, which all have nearly the same size. It implements mem.BufferPool: a client gives a
// request's buffer back when the last attempt's bytes are on the wire. Its content is bounded by the clients' number.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get(length int) *[]byte {
	b, _ := p.pool.Get().(*[]byte)
	if b == nil || cap(*b) < length {
		fresh := make([]byte, length)
		return &fresh
	}
	*b = (*b)[:length]
	return b
}

func (p *bufferPool) Put(b *[]byte) { p.pool.Put(b) }
