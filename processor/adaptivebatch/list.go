package adaptivebatch

// list is a doubly linked list. What stands in it holds its own seat, so that a list allocates nothing and lets go of anyone at
// once, wherever it stands and however many stand there.
type list[T any] struct {
	first, last *seat[T]
	length      int
}

// seat is a place in a list. The zero value is in none.
type seat[T any] struct {
	of             *T
	listed         bool
	previous, next *seat[T]
}

// push puts v at the end. Its seat is in no list.
func (l *list[T]) push(v *T, at *seat[T]) {
	*at = seat[T]{of: v, listed: true, previous: l.last}
	if l.last == nil {
		l.first = at
	} else {
		l.last.next = at
	}
	l.last = at
	l.length++
}

// remove empties a seat of this list.
func (l *list[T]) remove(at *seat[T]) {
	if at.previous == nil {
		l.first = at.next
	} else {
		at.previous.next = at.next
	}
	if at.next == nil {
		l.last = at.previous
	} else {
		at.next.previous = at.previous
	}
	*at = seat[T]{}
	l.length--
}
