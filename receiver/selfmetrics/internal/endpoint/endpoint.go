// Package endpoint reads the Collector's telemetry endpoint, a Prometheus exposition, and derives rates, ratios and
// quantiles from it.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
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
	// maxBytes bounds a response. 2,000 series are about 0.5 MB.
	maxBytes = 16 << 20
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
	families, part, err := s.scrape(ctx)
	if ctx.Err() != nil {
		part = source.Deadline
	}
	if !r.Check(part, lost, err) {
		return r
	}
	figs := s.reader.read(families, s.now())
	tracked, _ := s.reader.window.Len()
	r.Add(func(mb *metadata.MetricsBuilder, now pcommon.Timestamp) {
		recorder{figures: figs, mb: mb, now: now}.record()
		mb.RecordOtelcolSelfScrapeSeriesDataPoint(now, int64(tracked))
	})
	return r
}

// scrape returns the families of the catalog. When it fails it says in which part.
func (s *Source) scrape(ctx context.Context) (families []*dto.MetricFamily, part string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.config.Endpoint, http.NoBody)
	if err != nil {
		return nil, "request", err
	}
	request.Header.Set("Accept", accept)
	// Compression would cost both sides, which are the same process, more than it saves.
	request.Header.Set("Accept-Encoding", "identity")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, "connection", err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		return nil, "status", fmt.Errorf("%s answers %s", s.config.Endpoint, response.Status)
	}
	families, err = decode(http.MaxBytesReader(nil, response.Body, maxBytes), response.Header)
	if err != nil {
		return nil, "content", fmt.Errorf("%s does not answer with metrics: %w", s.config.Endpoint, err)
	}
	return families, "", nil
}

var errUnknownFormat = errors.New("the content type is neither Prometheus text nor protocol buffers")

// decode returns the families of the catalog, and the one with the identity of the process.
func decode(body io.Reader, header http.Header) ([]*dto.MetricFamily, error) {
	format := expfmt.ResponseFormat(header)
	if format.FormatType() == expfmt.TypeUnknown {
		return nil, fmt.Errorf("%w: %q", errUnknownFormat, header.Get("Content-Type"))
	}
	// Without escaping the decoder takes names in any spelling; the catalog knows both.
	decoder := expfmt.NewDecoder(body, format.WithEscapingScheme(model.NoEscaping))
	var families []*dto.MetricFamily
	spare := &dto.MetricFamily{}
	for {
		err := decoder.Decode(spare)
		if errors.Is(err, io.EOF) {
			return families, nil
		}
		if err != nil {
			return nil, err
		}
		if _, known := lookup(spare.GetName()); known || spare.GetName() == infoFamily {
			families = append(families, spare)
			spare = &dto.MetricFamily{}
		} else {
			spare.Reset()
		}
	}
}
