// Package endpoint reads the Collector's telemetry endpoint, a Prometheus exposition, and derives rates, ratios and
// quantiles from it.
package endpoint

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/window"
)

const (
	// maxSeries bounds what is remembered between scrapes: at some 200 bytes a series, 4 MB. A large Collector reports about
	// 2,000 series, of which some 100 are ours.
	maxSeries = 20_000
	// maxBytes bounds an answer. 2,000 series are about 0.5 MB.
	maxBytes = 8 << 20
	// keptBytes bounds the memory kept from one answer to the next.
	keptBytes = 2 << 20
	// lost is the number of metrics that a failed scrape costs.
	lost = 20
)

// accept asks for the protocol buffer format, where a histogram is one message instead of a line for each bucket, and
// takes text. Underscores are how names have always been spelled.
var accept = fmt.Sprintf("%s;q=0.9,%s;q=0.5",
	expfmt.NewFormat(expfmt.TypeProtoDelim).WithEscapingScheme(model.UnderscoreEscaping),
	expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.UnderscoreEscaping))

// Source reads one telemetry endpoint.
type Source struct {
	config    confighttp.ClientConfig
	telemetry component.TelemetrySettings
	client    *http.Client
	body      bytes.Buffer // of the last answer
	found     exposition
	answered  time.Time // when the last answer began, by when its values had been read
	reader    reader
	now       func() time.Time
}

var _ source.Source = (*Source)(nil)

// New returns a Source that must be started.
func New(config confighttp.ClientConfig, telemetry component.TelemetrySettings) *Source {
	// Our own requests must not count as exports, neither here nor for anybody who reads the endpoint.
	telemetry.MeterProvider = noopmetric.NewMeterProvider()
	telemetry.TracerProvider = nooptrace.NewTracerProvider()
	return &Source{
		config:    config,
		telemetry: telemetry,
		reader:    reader{window: window.New(maxSeries)},
		now:       time.Now,
	}
}

// Start makes the HTTP client; the host has the extensions that authenticate it.
func (s *Source) Start(ctx context.Context, host component.Host) error {
	client, err := s.config.ToClient(ctx, host.GetExtensions(), s.telemetry)
	if err != nil {
		return fmt.Errorf("client of the telemetry endpoint: %w", err)
	}
	s.client = client
	return nil
}

// Shutdown closes idle connections.
func (s *Source) Shutdown() {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

// Read implements source.Source.
func (s *Source) Read(ctx context.Context) (r source.Reading) {
	part, err := s.scrape(ctx)
	if ctx.Err() != nil {
		part = source.Deadline
	}
	if !r.Check(part, lost, err) {
		return r
	}
	figs := s.reader.read(&s.found, s.answered)
	tracked, refused := s.reader.window.Len()
	if left := s.found.leftOut + refused; left > 0 {
		r.Check("bound", 1, fmt.Errorf("%s has more than %d series that figures are made of; %d were left out", s.config.Endpoint, maxSeries, left))
	}
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		recorder{figures: figs, mb: mb, now: now}.record()
		mb.RecordOtelcolSelfScrapeSeriesDataPoint(now, int64(tracked))
	})
	return r
}

// scrape reads an answer into s.found. When it fails it says in which part.
func (s *Source) scrape(ctx context.Context) (part string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.Endpoint, http.NoBody)
	if err != nil {
		return "request", err
	}
	request.Header.Set("Accept", accept)
	// Compression would cost both sides, which are the same process, more than it saves.
	request.Header.Set("Accept-Encoding", "identity")
	response, err := s.client.Do(request)
	if err != nil {
		return "connection", err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	s.answered = s.now()
	if response.StatusCode != http.StatusOK {
		return "status", fmt.Errorf("%s answers %s", s.config.Endpoint, response.Status)
	}
	defer s.releaseBody()
	if _, err = s.body.ReadFrom(io.LimitReader(response.Body, maxBytes+1)); err != nil {
		return "connection", fmt.Errorf("the answer of %s breaks off: %w", s.config.Endpoint, err)
	}
	if s.body.Len() > maxBytes {
		return "content", fmt.Errorf("%s must answer with at most %d bytes", s.config.Endpoint, maxBytes)
	}
	s.body.Grow(1) // for the line break that the parser of text adds
	if err = s.found.decode(s.body.Bytes(), response.Header.Get("Content-Type")); err != nil {
		return "content", fmt.Errorf("%s does not answer with metrics: %w", s.config.Endpoint, err)
	}
	return "", nil
}

// releaseBody keeps the memory of the answer for the next one unless it is unusually much.
func (s *Source) releaseBody() {
	s.body.Reset()
	if s.body.Cap() > keptBytes {
		s.body = bytes.Buffer{}
	}
}
