//go:build bufpooldebug

package bufpool

import (
	"fmt"
	"runtime/debug"
	"sync"
	"unsafe"
)

// poison is what a reader of a freed buffer finds: no valid protobuf tag, and easy to recognize in a dump.
const poison = 0xDB

// Leak is a buffer that was handed out and not returned.
type Leak struct {
	// Size is the buffer's capacity in bytes.
	Size int
	// Stack is where Get was called.
	Stack string
}

// debugState follows every buffer by the address of its array.
type debugState struct {
	mu    sync.Mutex
	inUse map[unsafe.Pointer]Leak
	freed map[unsafe.Pointer]string // the stack of the Put
}

func (d *debugState) onGet(b *[]byte) {
	all := (*b)[:cap(*b)]
	key := unsafe.Pointer(unsafe.SliceData(all))
	d.mu.Lock()
	defer d.mu.Unlock()
	if stack, reused := d.freed[key]; reused {
		for i, c := range all {
			if c != poison {
				panic(fmt.Sprintf("bufpool: byte %d of a freed buffer of %d bytes was written; it was freed at:\n%s", i, len(all), stack))
			}
		}
		delete(d.freed, key)
	}
	if d.inUse == nil {
		d.inUse = map[unsafe.Pointer]Leak{}
	}
	d.inUse[key] = Leak{Size: len(all), Stack: string(debug.Stack())}
}

func (d *debugState) onPut(b *[]byte) {
	all := (*b)[:cap(*b)]
	key := unsafe.Pointer(unsafe.SliceData(all))
	d.mu.Lock()
	defer d.mu.Unlock()
	if stack, twice := d.freed[key]; twice {
		panic(fmt.Sprintf("bufpool: a buffer of %d bytes was freed twice; first at:\n%s", len(all), stack))
	}
	if _, ours := d.inUse[key]; !ours {
		panic(fmt.Sprintf("bufpool: a buffer of %d bytes was returned that this pool did not hand out", len(all)))
	}
	delete(d.inUse, key)
	for i := range all {
		all[i] = poison
	}
	if d.freed == nil {
		d.freed = map[unsafe.Pointer]string{}
	}
	// The key keeps the array alive, so a dropped buffer's address cannot come back as another buffer.
	d.freed[key] = string(debug.Stack())
}

// Outstanding lists the buffers handed out and not yet returned.
func (p *Pool) Outstanding() []Leak {
	p.debug.mu.Lock()
	defer p.debug.mu.Unlock()
	leaks := make([]Leak, 0, len(p.debug.inUse))
	for _, l := range p.debug.inUse {
		leaks = append(leaks, l)
	}
	return leaks
}
