package simulate

import "time"

// event is something that happens at a time.
type event struct {
	at   time.Duration
	kind eventKind
	// What it happens to; by kind.
	request *request
	batch   *batch
	client  int
}

type eventKind uint8

const (
	answered    eventKind = iota // the backend has answered a request
	deadline                     // the exporter gives up on a request
	retry                        // the exporter sends a batch again
	wake                         // the stream's timer fires
	clientSends                  // a waiting client sends its next call
)

// events is a binary heap by time. container/heap would box every event.
type events []event

func (h *events) push(e event) {
	*h = append(*h, e)
	q := *h
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent].at <= e.at {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = e
}

func (h *events) pop() event {
	q := *h
	first, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*h = q
	if len(q) == 0 {
		return first
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].at < q[child].at {
			child++
		}
		if last.at <= q[child].at {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = last
	return first
}

// fifo is a queue in a slice that is reused.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) front() *T { return &f.items[f.head] }

func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

func (f *fifo[T]) pop() T {
	v := f.items[f.head]
	f.head++
	if f.head > len(f.items)/2 && f.head > 64 {
		n := copy(f.items, f.items[f.head:])
		f.items, f.head = f.items[:n], 0
	}
	return v
}
