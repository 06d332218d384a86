// Package events tells what happens to alerts to whoever listens.
package events

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Kind is what happened.
type Kind string

// What happens to an alert, in the order in which it can happen.
const (
	Pending        Kind = "pending" // the condition holds, `for` is not over yet
	Firing         Kind = "firing"
	Notified       Kind = "notified"
	NotifyFailed   Kind = "notify_failed"
	Acknowledged   Kind = "acknowledged"
	Unacknowledged Kind = "unacknowledged" // taken back; Who is empty when its time is over or its silence was ended
	Escalated      Kind = "escalated"
	Resolved       Kind = "resolved"
)

// Event is something that happened to an alert. Receivers must not change the maps.
type Event struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Incident identifies the alert from firing to recovery; it is empty for a pending one.
	Incident    string            `json:"incident,omitempty"`
	Name        string            `json:"name"`
	Severity    string            `json:"severity,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Who and Why are of an acknowledgement, of one that is taken back, or of a resolution by hand.
	Who string `json:"who,omitempty"`
	Why string `json:"why,omitempty"`
	// Receiver and Integration are where a notification went, Error why it did not arrive.
	Receiver    string `json:"receiver,omitempty"`
	Integration string `json:"integration,omitempty"`
	Error       string `json:"error,omitempty"`
}

// bufferSize is how many events a subscriber may be behind before it loses some.
const bufferSize = 256

// maxSubscribers bounds the memory of the bus.
const maxSubscribers = 256

// Bus hands events to subscribers. It never waits: a subscriber that does not keep up loses events. The zero value is ready;
// all methods may be called at the same time.
type Bus struct {
	mu          sync.Mutex
	subscribers map[chan Event]struct{}
	lost        int64
	refused     int64
}

// Stats are figures of a bus; Lost and Refused count since the start.
type Stats struct {
	Subscribers int
	// Backlog is how many events wait for the subscriber that is furthest behind.
	Backlog       int
	Lost, Refused int64
}

// Publish hands an event to every subscriber that has room for it.
func (b *Bus) Publish(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subscribers {
		select {
		case s <- e:
		default:
			b.lost++
		}
	}
}

// ErrTooMany says that there is no room for another subscriber.
var ErrTooMany = fmt.Errorf("there are %d subscribers already", maxSubscribers)

// Subscribe returns the events from now on. The channel is closed when ctx is done, or at once with an error.
func (b *Bus) Subscribe(ctx context.Context) (<-chan Event, error) {
	s := make(chan Event, bufferSize)
	b.mu.Lock()
	defer b.mu.Unlock()
	err := ctx.Err()
	if err == nil && len(b.subscribers) >= maxSubscribers {
		b.refused++
		err = ErrTooMany
	}
	if err != nil {
		close(s)
		return s, err
	}
	if b.subscribers == nil {
		b.subscribers = map[chan Event]struct{}{}
	}
	b.subscribers[s] = struct{}{}
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subscribers, s)
		close(s)
	})
	return s, nil
}

// Stats returns the figures of now.
func (b *Bus) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	stats := Stats{Subscribers: len(b.subscribers), Lost: b.lost, Refused: b.refused}
	for s := range b.subscribers {
		stats.Backlog = max(stats.Backlog, len(s))
	}
	return stats
}
