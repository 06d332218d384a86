package pooledotlp

import (
	"sync"
	"time"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bufpool"
)

// slowBody breaks off reading a body that takes long while others find no room.
type slowBody struct {
	budget *bufpool.Budget
	// setReadDeadline is the connection's.
	setReadDeadline func(time.Time) error
	timer           *time.Timer

	mu   sync.Mutex
	over bool // it has been read, or broken off
	cut  bool
}

// watchBody begins with the reading of a body of that length, or of an unknown one if that is negative. It returns nil when that body
// takes no room from others.
func watchBody(setReadDeadline func(time.Time) error, length int64, budget *bufpool.Budget) *slowBody {
	if !budget.Bounded() || length >= 0 && length <= atHand {
		return nil
	}
	b := &slowBody{budget: budget, setReadDeadline: setReadDeadline}
	b.mu.Lock() // the timer is set before it is looked at
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(bufpool.SlowReader, b.look)
	return b
}

func (b *slowBody) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.over:
	case b.budget.Tight():
		b.over, b.cut = true, true
		b.budget.Refuse()
		_ = b.setReadDeadline(time.Now()) // servers that cannot have no connection either
	default:
		b.timer.Reset(bufpool.SlowReader)
	}
}

// end reports whether reading was broken off.
func (b *slowBody) end() (cut bool) {
	if b == nil {
		return false
	}
	b.timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.cut
}
