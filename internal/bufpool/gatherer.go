package bufpool

import (
	"errors"
	"io"

	"google.golang.org/grpc/mem"
)

// firstChunk is by how much the first buffer may be larger than what is at hand, readChunk the buffers for what has no announced length.
const (
	firstChunk = 4
	readChunk  = 32 << 10
)

// ErrNoRoom says that a Budget has no room for what a reader would have to hold.
var ErrNoRoom = errors.New("too much is being received at once")

// Gatherer puts together bytes of which the number is announced. Nothing is reserved for an announcement: the first buffer is a few times
// as large as what its user says is at hand, and what follows is gathered in buffers no larger than all that has arrived before. So whoever
// announces much and sends little takes at most that many times the memory of what it has sent, or of what was taken to be at hand. It is not safe
// for concurrent use.
type Gatherer struct {
	buffers  mem.BufferPool
	missing  int
	gathered mem.BufferSlice
	chunk    *[]byte // the last buffer while it is being filled
	filled   int
	reserved Reservation
}

// Begin announces how many bytes come. The reservation, which may hold something already, is the gatherer's from here on.
func (g *Gatherer) Begin(buffers mem.BufferPool, reserved Reservation, length int) {
	*g = Gatherer{buffers: buffers, missing: length, reserved: reserved}
}

// Missing returns how many bytes have not been taken.
func (g *Gatherer) Missing() int { return g.missing }

// Space returns where the next bytes go, of which atHand at least can be read without waiting. Some must be missing. The only error is
// ErrNoRoom.
func (g *Gatherer) Space(atHand int) ([]byte, error) {
	if g.chunk == nil {
		size := min(g.missing, max(firstChunk*atHand, g.gathered.Len()))
		if !g.reserved.Grow(size) {
			return nil, ErrNoRoom
		}
		g.chunk = g.buffers.Get(size)
		g.filled = 0
	}
	return (*g.chunk)[g.filled:], nil
}

// Took notes that the first n bytes of the space are filled.
func (g *Gatherer) Took(n int) {
	g.filled += n
	g.missing -= n
	if g.filled == len(*g.chunk) {
		g.gathered = append(g.gathered, mem.NewBuffer(g.chunk, g.buffers))
		g.chunk = nil
	}
}

// Take hands over the bytes once none are missing, with their references, and the reservation with them.
func (g *Gatherer) Take() (mem.BufferSlice, Reservation) {
	gathered, reserved := g.gathered, g.reserved
	g.gathered, g.reserved = nil, Reservation{}
	return gathered, reserved
}

// Free gives back what was gathered, of bytes that will not be used, and what was reserved for them.
func (g *Gatherer) Free() {
	if g.chunk != nil {
		g.buffers.Put(g.chunk)
		g.chunk = nil
	}
	g.gathered.Free()
	g.gathered = nil
	g.reserved.End()
}

// ReadAll reads to the end what has no announced length. What is returned may be held for long, by requests that wait in large numbers, and so is
// held in buffers of one and a half times its size at most, but for the smallest. The reservation grows with it, and remains the caller's after an error, too.
func ReadAll(from io.Reader, buffers mem.BufferPool, reserved *Reservation) (read mem.BufferSlice, err error) {
	for err == nil {
		if !reserved.Grow(readChunk) {
			read.Free()
			return nil, ErrNoRoom
		}
		chunk := buffers.Get(readChunk)
		filled := 0
		for err == nil && filled < len(*chunk) {
			var n int
			n, err = from.Read((*chunk)[filled:])
			filled += n
		}
		if chunk = shrink(chunk, filled, read.Len()+filled, buffers); chunk != nil {
			read = append(read, mem.NewBuffer(chunk, buffers))
		}
	}
	if !errors.Is(err, io.EOF) {
		read.Free()
		return nil, err
	}
	return read, nil
}

// shrink returns the bytes that are filled of the last chunk of some that hold total, in a smaller buffer if it wastes much; nil if there are none.
func shrink(chunk *[]byte, filled, total int, buffers mem.BufferPool) *[]byte {
	if len(*chunk)-filled <= total/2 {
		*chunk = (*chunk)[:filled]
		return chunk
	}
	defer buffers.Put(chunk)
	if filled == 0 {
		return nil
	}
	small := buffers.Get(max(filled, unpooled+1)) // smaller ones are not pooled
	*small = append((*small)[:0], (*chunk)[:filled]...)
	return small
}
