package endpoint

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// The fields of the message MetricFamily, see
	// https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto.
	familyName   = 1
	familyMetric = 4

	// maxMetricBytes bounds one series, which takes up to 40 times its size in memory. A histogram with 1,000 buckets has 20 KB.
	maxMetricBytes = 1 << 20
)

// decodeProtobuf takes one series at a time out of the families that are of interest, so that the memory needed depends on the
// size of a series and not on that of the answer. Neither decoder of the Prometheus libraries can be trusted with an answer
// from anywhere: that of prometheus/common (0.71) makes a buffer of whatever length the answer announces, and that of
// prometheus/model/textparse (0.314) calls itself for each empty family until the stack is used up.
func (e *exposition) decodeProtobuf(body []byte) error {
	var metric dto.Metric
	for at := 0; at < len(body); {
		message, n := protowire.ConsumeBytes(body[at:])
		if n < 0 {
			return fmt.Errorf("byte %d: a metric family: %w", at, protowire.ParseError(n))
		}
		if err := e.decodeFamily(message, &metric); err != nil {
			return fmt.Errorf("metric family at byte %d: %w", at, err)
		}
		at += n
	}
	return nil
}

func (e *exposition) decodeFamily(message []byte, metric *dto.Metric) error {
	var name []byte
	if err := eachField(message, familyName, func(value []byte) error { name = value; return nil }); err != nil {
		return err
	}
	s := e.spellFamily(name)
	if !s.known {
		return nil
	}
	return eachField(message, familyMetric, func(value []byte) error {
		if len(value) > maxMetricBytes {
			return fmt.Errorf("a series of %q must have at most %d bytes, found %d", name, maxMetricBytes, len(value))
		}
		if err := proto.Unmarshal(value, metric); err != nil {
			return fmt.Errorf("a series of %q: %w", name, err)
		}
		return e.addMetric(s, string(name), metric)
	})
}

// spellFamily is spell for a family, whose name is without the suffixes of its series.
func (e *exposition) spellFamily(name []byte) spelling {
	if s := e.spell(name); s.known {
		return s
	}
	s := e.spell(append(name[:len(name):len(name)], bucketSuffix...))
	s.known = s.known && s.bucket
	return s
}

func (e *exposition) addMetric(s spelling, name string, m *dto.Metric) error {
	e.labels = append(e.labels[:0], label{model.MetricNameLabel, name})
	for _, l := range m.GetLabel() {
		if !utf8.ValidString(l.GetName()) || !utf8.ValidString(l.GetValue()) {
			return fmt.Errorf("a label of %q must be UTF-8, found %q=%q", name, l.GetName(), l.GetValue())
		}
		e.labels = append(e.labels, label{l.GetName(), l.GetValue()})
	}
	byName := func(a, b label) int { return strings.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(e.labels, byName) {
		slices.SortFunc(e.labels, byName)
	}
	switch {
	case s.info:
		e.setInstance()
	case s.bucket:
		if next := e.next(s.family); next != nil {
			next.setBuckets(m.GetHistogram())
		}
	default:
		if next := e.next(s.family); next != nil {
			next.value = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue() // one of them is there
		}
	}
	return nil
}

// setBuckets writes the bounds and counts of a classic histogram. The last bucket, whose count is the sample count, may have
// been left out.
func (s *sample) setBuckets(h *dto.Histogram) {
	for _, b := range h.GetBucket() {
		s.bounds = append(s.bounds, b.GetUpperBound()*s.family.factor())
		s.counts = append(s.counts, float64(b.GetCumulativeCount()))
	}
	if n := len(s.bounds); n == 0 || !math.IsInf(s.bounds[n-1], 1) {
		s.bounds = append(s.bounds, math.Inf(1))
		s.counts = append(s.counts, float64(h.GetSampleCount()))
	}
}

// eachField calls visit with the content of every field of the message that has the number and is bytes, and returns its
// error, or where the message is not one.
func eachField(message []byte, number protowire.Number, visit func(value []byte) error) error {
	for at := 0; at < len(message); {
		num, kind, n := protowire.ConsumeTag(message[at:])
		if n < 0 {
			return fmt.Errorf("byte %d: a tag: %w", at, protowire.ParseError(n))
		}
		at += n
		size := protowire.ConsumeFieldValue(num, kind, message[at:])
		if size < 0 {
			return fmt.Errorf("byte %d: field %d: %w", at, num, protowire.ParseError(size))
		}
		if num == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message[at:])
			if err := visit(value); err != nil {
				return err
			}
		}
		at += size
	}
	return nil
}
