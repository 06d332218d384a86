package selfmetrics

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/scraper"
	"go.opentelemetry.io/collector/scraper/scraperhelper"
	"go.uber.org/zap"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
)

// selfReceiver is scraperhelper's controller with a Shutdown that cuts a scrape short and may be repeated.
type selfReceiver struct {
	receiver.Metrics
	scraper  *selfScraper
	shutdown func(context.Context) error
}

func newReceiver(
	cfg *Config, set receiver.Settings, next consumer.Metrics, options ...scraperhelper.ControllerOption,
) (receiver.Metrics, error) {
	own := newScraper(cfg, set)
	metricsScraper, err := scraper.NewMetrics(own.scrape, scraper.WithStart(own.start), scraper.WithShutdown(own.shutdown))
	if err != nil {
		return nil, err
	}
	// The controller logs every failed scrape; the scraper itself logs when something changes.
	set.Logger = zap.NewNop()
	options = append(options, scraperhelper.AddMetricsScraper(metadata.Type, metricsScraper))
	controller, err := scraperhelper.NewMetricsController(&cfg.Controller, set, next, options...)
	if err != nil {
		return nil, err
	}
	r := &selfReceiver{Metrics: controller, scraper: own}
	var once sync.Once
	r.shutdown = func(ctx context.Context) (err error) {
		once.Do(func() {
			own.stop()
			err = controller.Shutdown(ctx)
		})
		return err
	}
	return r, nil
}

// Shutdown implements component.Component.
func (r *selfReceiver) Shutdown(ctx context.Context) error { return r.shutdown(ctx) }

var _ component.Component = (*selfReceiver)(nil)
