//go:build bufpooldebug

package bufpool

import (
	"fmt"
	"runtime"
	"strings"
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
	inUse map[unsafe.Pointer]handedOut
	freed map[unsafe.Pointer]calls // those of the Put
}

type handedOut struct {
	size int
	calls
}

// calls are where the pool was called from. They are made text only when somebody reads them: that costs more than the work under test.
type calls [24]uintptr

func callers() (c calls) {
	runtime.Callers(4, c[:]) // without this function, the debug state's and the pool's
	return c
}

func (c calls) String() string {
	var text strings.Builder
	frames := runtime.CallersFrames(c[:])
	for {
		frame, more := frames.Next()
		if frame.PC == 0 {
			break
		}
		fmt.Fprintf(&text, "%s\n\t%s:%d\n", frame.Function, frame.File, frame.Line)
		if !more {
			break
		}
	}
	return text.String()
}

func (d *debugState) onGet(b *[]byte) {
	all := (*b)[:cap(*b)]
	key := unsafe.Pointer(unsafe.SliceData(all))
	d.mu.Lock()
	defer d.mu.Unlock()
	if put, reused := d.freed[key]; reused {
		for i, c := range all {
			if c != poison {
				panic(fmt.Sprintf("bufpool: byte %d of a freed buffer of %d bytes was written; it was freed at:\n%s", i, len(all), put))
			}
		}
		delete(d.freed, key)
	}
	if d.inUse == nil {
		d.inUse = map[unsafe.Pointer]handedOut{}
	}
	d.inUse[key] = handedOut{len(all), callers()}
}

func (d *debugState) onPut(b *[]byte) {
	all := (*b)[:cap(*b)]
	key := unsafe.Pointer(unsafe.SliceData(all))
	d.mu.Lock()
	defer d.mu.Unlock()
	if put, twice := d.freed[key]; twice {
		panic(fmt.Sprintf("bufpool: a buffer of %d bytes was freed twice; first at:\n%s", len(all), put))
	}
	if _, ours := d.inUse[key]; !ours {
		panic(fmt.Sprintf("bufpool: a buffer of %d bytes was returned that this pool did not hand out", len(all)))
	}
	delete(d.inUse, key)
	for i := range all {
		all[i] = poison
	}
	if d.freed == nil {
		d.freed = map[unsafe.Pointer]calls{}
	}
	// The key keeps the array alive, so a dropped buffer's address cannot come back as another buffer.
	d.freed[key] = callers()
}

// Outstanding lists the buffers handed out and not yet returned.
func (p *Pool) Outstanding() []Leak {
	p.debug.mu.Lock()
	defer p.debug.mu.Unlock()
	leaks := make([]Leak, 0, len(p.debug.inUse))
	for _, b := range p.debug.inUse {
		leaks = append(leaks, Leak{Size: b.size, Stack: b.String()})
	}
	return leaks
}
