package payload

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// repeatsAfter is how many bytes of requests pass before one comes again: four times the window of the Collector's zstd over
	// gRPC, so that no batch becomes smaller by a repetition that real telemetry does not have.
	repeatsAfter = 2 << 20
	// How many different requests a Set repeats, each a multiple of the services in a chain.
	minTemplates = 4 * services
	maxTemplates = 100 * services
)

// MaxItemsPerRequest bounds the memory of a Set: at least twelve templates of some 500 bytes an item.
const MaxItemsPerRequest = 20_000

// Set makes the numbered requests of one run. It is immutable and safe for concurrent use.
type Set struct {
	signal          Signal
	itemsPerRequest int
	templates       []template
}

type template struct {
	body      []byte
	items     []offsets
	checksums []uint64
}

// offsets say where in the body of a template an item's fields stand that follow from its number; 0 for a field it has not
// (no field's value can stand at the start of a message).
type offsets struct{ number, traceID, parent int }

// NewSet makes the templates of a signal. The same seed gives the same requests.
func NewSet(signal Signal, itemsPerRequest int, seed uint64) (*Set, error) {
	return newTemplates(signal, itemsPerRequest, seed, false)
}

// NewNestedSet is NewSet with more for a Collector to keep than what measurements send: two resources of two scopes each, events, links,
// exemplars, and values within values.
func NewNestedSet(signal Signal, itemsPerRequest int, seed uint64) (*Set, error) {
	return newTemplates(signal, itemsPerRequest, seed, true)
}

func newTemplates(signal Signal, itemsPerRequest int, seed uint64, nested bool) (*Set, error) {
	if err := signal.Validate(); err != nil {
		return nil, err
	}
	if itemsPerRequest < 1 || itemsPerRequest > MaxItemsPerRequest {
		return nil, fmt.Errorf("`items_per_request` must be between 1 and %d, found %d", MaxItemsPerRequest, itemsPerRequest)
	}
	s := &Set{signal: signal, itemsPerRequest: itemsPerRequest}
	for i, size := 0, 0; i < minTemplates || i%services > 0 || size < repeatsAfter && i < maxTemplates; i++ {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		body, err := marshal(signal, itemsPerRequest, i%services, rng, nested)
		if err != nil {
			return nil, fmt.Errorf("encode template %d: %w", i, err)
		}
		var t template
		if err := t.index(signal, body); err != nil {
			return nil, fmt.Errorf("index template %d: %w", i, err)
		}
		s.templates = append(s.templates, t)
		size += len(body)
	}
	return s, nil
}

func marshal(signal Signal, items, role int, rng *rand.Rand, nested bool) ([]byte, error) {
	switch signal {
	case Traces:
		return new(ptrace.ProtoMarshaler).MarshalTraces(newTraces(items, role, rng, nested))
	case Metrics:
		return new(pmetric.ProtoMarshaler).MarshalMetrics(newMetrics(items, role, rng, nested))
	default:
		return new(plog.ProtoMarshaler).MarshalLogs(newLogs(items, role, rng, nested))
	}
}

// index finds the fields to overwrite. It reads the encoded bytes, so that it holds for whatever order the encoder chose.
func (t *template) index(signal Signal, body []byte) error {
	t.body = body
	err := walkItems(signal, body, func(start, end int) error {
		var at offsets
		err := fields(body, start, end, func(num protowire.Number, from, to int) error {
			switch {
			case from == to: // pdata writes the empty parent of a root span.
			case num == numberField(signal):
				at.number = from
			case signal == Traces && num == fieldTraceID:
				at.traceID = from
			case signal == Traces && num == fieldParentSpanID:
				at.parent = from
			}
			return nil
		})
		t.items = append(t.items, at)
		return err
	})
	if err != nil {
		return err
	}
	return eachItem(signal, body, 0, func(item Item) {
		t.checksums = append(t.checksums, item.Checksum)
	})
}

// Signal is the kind of telemetry of the set.
func (s *Set) Signal() Signal { return s.signal }

// ItemsPerRequest is how many items every request carries.
func (s *Set) ItemsPerRequest() int { return s.itemsPerRequest }

// Size is the length in bytes of the request with this sequence number, uncompressed.
func (s *Set) Size(seq uint64) int { return len(s.template(seq).body) }

func (s *Set) template(seq uint64) *template { return &s.templates[seq%uint64(len(s.templates))] }

// AppendRequest appends the encoded request with this sequence number to dst.
func (s *Set) AppendRequest(dst []byte, seq uint64) []byte {
	t := s.template(seq)
	start := len(dst)
	dst = append(dst, t.body...)
	body := dst[start:]
	first := seq * uint64(s.itemsPerRequest)
	for i := range t.items {
		at, number := &t.items[i], first+uint64(i)
		if s.signal != Traces {
			binary.LittleEndian.PutUint64(body[at.number:], timestamp(number))
			continue
		}
		id := spanID(number)
		copy(body[at.number:], id[:])
		traceID, parent := traceContext(number, s.itemsPerRequest)
		copy(body[at.traceID:], traceID[:])
		if at.parent > 0 {
			copy(body[at.parent:], parent[:])
		}
	}
	return dst
}

// Checksum is the checksum that the item with this number must have when it arrives.
func (s *Set) Checksum(number uint64) uint64 {
	n := uint64(s.itemsPerRequest)
	return s.template(number / n).checksums[number%n]
}
