package bufpool

import "google.golang.org/grpc/mem"

// firstChunk is by how much the first buffer may be larger than what is at hand.
const firstChunk = 4

// Gatherer puts together bytes of which the number is announced. Nothing is reserved for an announcement: the first buffer is a few times
// as large as what is at hand, and what follows is gathered in buffers no larger than all that has arrived before. So whoever announces much and
// sends little takes at most that many times the memory of what it has sent. It is not safe for concurrent use.
type Gatherer struct {
	buffers  mem.BufferPool
	missing  int
	gathered mem.BufferSlice
	chunk    *[]byte // the last buffer while it is being filled
	filled   int
}

// Begin announces how many bytes come.
func (g *Gatherer) Begin(buffers mem.BufferPool, length int) {
	*g = Gatherer{buffers: buffers, missing: length}
}

// Missing returns how many bytes have not been taken.
func (g *Gatherer) Missing() int { return g.missing }

// Space returns where the next bytes go, of which atHand at least can be read without waiting. Some must be missing.
func (g *Gatherer) Space(atHand int) []byte {
	if g.chunk == nil {
		g.chunk = g.buffers.Get(min(g.missing, max(firstChunk*atHand, g.gathered.Len())))
		g.filled = 0
	}
	return (*g.chunk)[g.filled:]
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

// Take hands over the bytes once none are missing, with their references.
func (g *Gatherer) Take() mem.BufferSlice {
	gathered := g.gathered
	g.gathered = nil
	return gathered
}

// Free gives back what was gathered, of bytes that will not be used.
func (g *Gatherer) Free() {
	if g.chunk != nil {
		g.buffers.Put(g.chunk)
		g.chunk = nil
	}
	g.gathered.Free()
	g.gathered = nil
}
