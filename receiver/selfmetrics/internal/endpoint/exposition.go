package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

const (
	// maxNames bounds the memory of names. A Collector has some 200.
	maxNames = 4096
	// maxErrorText bounds what an error repeats of an answer that cannot be read.
	maxErrorText = 300
)

const (
	// infoFamily carries the identity of the process that counts.
	infoFamily = "target_info"
	// bucketSuffix is what the text format adds to the name of a histogram.
	bucketSuffix = "_bucket"
)

// exposition is what one answer says about the families of the catalog. Its memory is used again for the next answer, so that
// a scrape of known series allocates little. It is not safe for concurrent use.
type exposition struct {
	// instance tells one run of the Collector from the next: the SDK gives every run its own service.instance.id unless
	// somebody configures it. Empty where it is not told.
	instance string
	samples  []sample
	// leftOut counts the series of the catalog beyond maxSeries.
	leftOut int

	histograms map[string]int // identity to index in samples
	names      map[string]spelling
	labels     []label
	identity   []byte
}

// sample is one series; all the buckets of a histogram are one.
type sample struct {
	family   family
	key      key
	identity []byte  // the name and all labels, in the order of their names
	value    float64 // of a counter or gauge

	bounds, counts []float64 // of a histogram: upper bounds, and cumulative counts beside them
}

type label struct{ name, value string }

// spelling is what the name of a series stands for.
type spelling struct {
	family family
	bucket bool // the name of a histogram's buckets
	info   bool
	known  bool
}

var errUnknownFormat = errors.New("the content type is neither Prometheus text nor protocol buffers")

// decode reads a whole answer, or returns an error that says where it cannot be read. After an error the exposition holds
// nothing of use.
func (e *exposition) decode(body []byte, contentType string) error {
	e.reset()
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && mediaType == "text/plain":
		err = e.decodeText(body)
	case err == nil && mediaType == "application/vnd.google.protobuf" && parameters["encoding"] == "delimited":
		err = e.decodeProtobuf(body)
	default:
		return fmt.Errorf("%w: %q", errUnknownFormat, contentType)
	}
	if err != nil {
		if text := err.Error(); len(text) > maxErrorText { // it may quote the whole answer
			return errors.New(text[:maxErrorText] + "...")
		}
	}
	return err
}

func (e *exposition) reset() {
	e.instance, e.leftOut = "", 0
	e.samples = e.samples[:0]
	if e.names == nil || len(e.names) >= maxNames {
		e.names, e.histograms = make(map[string]spelling), make(map[string]int)
	}
	clear(e.histograms)
}

// decodeText leaves the parsing to Prometheus's own parser, which gives one line at a time. It takes up the labels of no
// line that is not of interest, nor those of a bucket that follows another one of the same histogram.
func (e *exposition) decodeText(body []byte) error {
	parser := textparse.NewPromParser(body, labels.NewSymbolTable(), false)
	var set labels.Labels
	var begin []byte // of the last line with a bucket, up to the bound
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		series, _, value := parser.Series()
		// A name that is quoted, because it has dots, is within the braces.
		name := series
		if end := bytes.IndexByte(series, '{'); end == 0 {
			parser.Labels(&set)
			name = []byte(set.Get(model.MetricNameLabel))
		} else if end > 0 {
			name = bytes.TrimRight(series[:end], " \t")
		}
		s := e.spell(name)
		if !s.known {
			continue
		}
		before, le, ends := cutBound(series)
		if s.bucket && ends && bytes.Equal(before, begin) {
			e.samples[len(e.samples)-1].addBucket(string(le), value)
			continue
		}
		parser.Labels(&set)
		e.labels = e.labels[:0]
		set.Range(func(l labels.Label) { // in the order of their names
			if s.bucket && l.Name == model.MetricNameLabel {
				l.Value = strings.TrimSuffix(l.Value, bucketSuffix) // as it is in the other format
			}
			e.labels = append(e.labels, label{l.Name, l.Value})
		})
		begin = nil
		if added := e.add(s, value); added && s.bucket && ends {
			begin = before
		}
	}
}

var beginOfBound = []byte(`,le="`)

// cutBound splits the text of a series that ends with the label "le" before its value, as the libraries write it. A quotation
// mark in a value is escaped, so that what it looks for is in none.
func cutBound(series []byte) (before, le []byte, ok bool) {
	at := bytes.LastIndex(series, beginOfBound)
	if at < 0 {
		return nil, nil, false
	}
	le, ok = bytes.CutSuffix(series[at+len(beginOfBound):], []byte(`"}`))
	return series[:at], le, ok
}

// add takes a series with e.labels and reports whether it is the last sample now.
func (e *exposition) add(s spelling, value float64) (last bool) {
	switch {
	case s.info:
		e.setInstance()
		return false
	case s.bucket:
		i := slices.IndexFunc(e.labels, func(l label) bool { return l.name == model.BucketLabel })
		if i < 0 {
			return false
		}
		le := e.labels[i].value
		e.labels = slices.Delete(e.labels, i, i+1)
		h := e.histogram(s.family)
		if h == nil {
			return false
		}
		h.addBucket(le, value)
		return h == &e.samples[len(e.samples)-1]
	default:
		next := e.next(s.family)
		if next != nil {
			next.value = value
		}
		return next != nil
	}
}

// addBucket adds the bucket up to the bound le. A bound that is no number makes it no histogram.
func (s *sample) addBucket(le string, count float64) {
	bound, err := strconv.ParseFloat(le, 64)
	if err != nil {
		bound = math.NaN()
	}
	s.bounds = append(s.bounds, bound*s.family.factor())
	s.counts = append(s.counts, count)
}

// histogram returns the sample that the buckets with e.labels belong to, or nil when there is none to be had.
func (e *exposition) histogram(f family) *sample {
	e.setIdentity()
	if i, found := e.histograms[string(e.identity)]; found {
		if i < 0 {
			return nil
		}
		return &e.samples[i]
	}
	next := e.next(f)
	if next == nil {
		if len(e.histograms) < maxSeries {
			e.histograms[string(e.identity)] = -1
		}
		return nil
	}
	e.histograms[string(e.identity)] = len(e.samples) - 1
	return next
}

// next adds a sample with e.labels. It returns nil for a series that is not of interest, and for one too many.
func (e *exposition) next(f family) *sample {
	k, ok := keyOf(f, e.labels)
	if !ok {
		return nil
	}
	if len(e.samples) >= maxSeries {
		e.leftOut++
		return nil
	}
	if len(e.samples) < cap(e.samples) {
		e.samples = e.samples[:len(e.samples)+1] // with the memory of the sample that was there before
	} else {
		e.samples = append(e.samples, sample{})
	}
	e.setIdentity()
	s := &e.samples[len(e.samples)-1]
	s.family, s.key, s.value = f, k, 0
	s.identity = append(s.identity[:0], e.identity...)
	s.bounds, s.counts = s.bounds[:0], s.counts[:0]
	return s
}

// setIdentity writes the identity of a series with e.labels.
func (e *exposition) setIdentity() {
	e.identity = e.identity[:0]
	for _, l := range e.labels {
		// 0xff is not valid UTF-8, so it cannot be part of a name or value.
		e.identity = append(e.identity, l.name...)
		e.identity = append(e.identity, 0xff)
		e.identity = append(e.identity, l.value...)
		e.identity = append(e.identity, 0xff)
	}
}

func (e *exposition) setInstance() {
	for _, l := range e.labels {
		if l.name == "service_instance_id" {
			e.instance = l.value
		}
	}
}

// spell finds out what the name of a series stands for.
func (e *exposition) spell(name []byte) spelling {
	if s, found := e.names[string(name)]; found {
		return s
	}
	text := string(name)
	short, bucket := strings.CutSuffix(text, bucketSuffix)
	f, known := lookup(short)
	if known && f.role.isHistogram() != bucket {
		known = false // the sum or count of a histogram, or a family that is not what it is known as
	}
	s := spelling{family: f, bucket: bucket, info: text == infoFamily, known: known || text == infoFamily}
	if len(e.names) < maxNames {
		e.names[text] = s
	}
	return s
}
