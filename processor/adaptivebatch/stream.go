package adaptivebatch

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/collector/client"

	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch/internal/controller"
)

// stream is the queue of parts that may be sent together: those with the same client metadata in the configured keys, and
// of the same kind. Its fields are guarded by the batcher's mutex.
type stream struct {
	key      string
	client   client.Info // what a batch's context carries: the metadata keys and nothing else
	arrivals controller.Arrivals

	queue list[part]
	items int   // in the queue
	bytes int64 // in the queue
	held  int   // callers that wait for an answer

	// pending is what was admitted and whose batch has not ended, in bytes; waiting are the calls at the door, in order of arrival.
	pending int64
	waiting list[call]

	// due says that the stream is in the batcher's list of those that only lack a free slot, since dueSince.
	due      bool
	dueSince time.Time
	// starting says that a slot was taken for the next batch, which is not closed yet.
	starting bool

	timer   *time.Timer
	armedAt time.Time // when the timer fires; zero when it does not
	used    time.Time // last, for the eviction of idle streams
}

func (s *stream) idle() bool {
	return s.queue.length == 0 && s.pending == 0 && s.waiting.length == 0 && s.held == 0
}

func (s *stream) push(p *part) {
	s.queue.push(p, &p.queued)
	s.items += p.items
	s.bytes += p.bytes
}

// remove takes a part out of the queue.
func (s *stream) remove(p *part) {
	s.queue.remove(&p.queued)
	s.items -= p.items
	s.bytes -= p.bytes
}

// take removes parts from the front of the queue, as many as fit within the limits (0: none) and at least one.
func (s *stream) take(maxItems int, maxBytes int64) []*part {
	n, items, bytes := 0, 0, int64(0)
	for at := s.queue.first; at != nil; at = at.next {
		p := at.of
		if n > 0 && (maxItems > 0 && items+p.items > maxItems || maxBytes > 0 && bytes+p.bytes > maxBytes) {
			break
		}
		n++
		items += p.items
		bytes += p.bytes
	}
	taken := make([]*part, n)
	for i := range taken {
		taken[i] = s.queue.first.of
		s.remove(taken[i])
	}
	return taken
}

// payloadKind keeps decoded telemetry and requests as bytes in streams of their own, since they cannot be joined.
type payloadKind byte

const (
	decodedKind payloadKind = 'd'
	encodedKind payloadKind = 'e'
)

// streamKey returns what tells the stream apart, and its part of the caller's client information. An unset key differs
// from one with an empty value.
func streamKey(ctx context.Context, metadataKeys []string, kind payloadKind) (string, client.Info) {
	if len(metadataKeys) == 0 {
		return string(kind), client.Info{}
	}
	metadata := client.FromContext(ctx).Metadata
	var key strings.Builder
	key.WriteByte(byte(kind))
	kept := map[string][]string{}
	for _, k := range metadataKeys {
		values := metadata.Get(k)
		if values == nil {
			key.WriteString("-")
			continue
		}
		kept[k] = values
		for _, v := range values {
			key.WriteByte('+')
			key.WriteString(escaper.Replace(v))
		}
		key.WriteByte('.')
	}
	return key.String(), client.Info{Metadata: client.NewMetadata(kept)}
}

// escaper makes the key unambiguous whatever the values hold.
var escaper = strings.NewReplacer(`\`, `\\`, "+", `\+`, "-", `\-`, ".", `\.`)
