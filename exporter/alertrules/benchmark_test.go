package alertrules

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-adaptive/otelcol-adaptive/exporter/alertrules/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager"
)

// BenchmarkAdmit sends requests of gauges, each with new values of known series, through the exporter into the storage of the extension.
func BenchmarkAdmit(b *testing.B) {
	for _, series := range []int{10, 1000} {
		b.Run(fmt.Sprint(series), func(b *testing.B) {
			id := component.MustNewID("alertmanager")
			factory := alertmanager.NewFactory()
			cfg := factory.CreateDefaultConfig()
			require.NoError(b, confmap.NewFromStringMap(map[string]any{
				"http": map[string]any{"endpoint": "127.0.0.1:0"}, "storage": map[string]any{"directory": b.TempDir()},
				"builtin_rules": map[string]any{"enabled": false},
			}).Unmarshal(cfg))
			extension, err := factory.Create(b.Context(), extensiontest.NewNopSettings(id.Type()), cfg)
			require.NoError(b, err)
			require.NoError(b, extension.Start(b.Context(), componenttest.NewNopHost()))
			b.Cleanup(func() { require.NoError(b, extension.Shutdown(context.Background())) })
			e, err := NewFactory().CreateMetrics(b.Context(), exportertest.NewNopSettings(metadata.Type), NewFactory().CreateDefaultConfig())
			require.NoError(b, err)
			require.NoError(b, e.Start(b.Context(), host{extensions: map[component.ID]component.Component{id: extension}}))
			b.Cleanup(func() { require.NoError(b, e.Shutdown(context.Background())) })

			md, points := gauges(series)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Millisecond) // a sample of the same time would not be stored
				for _, p := range points.All() {
					p.SetTimestamp(pcommon.NewTimestampFromTime(now))
				}
				require.NoError(b, e.ConsumeMetrics(b.Context(), md))
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*series), "ns/sample")
		})
	}
}

// gauges returns a metric with so many series, and its points.
func gauges(series int) (pmetric.Metrics, pmetric.NumberDataPointSlice) {
	md := pmetric.NewMetrics()
	resource := md.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "benchmark")
	metric := resource.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName("otelcol.self.queue.utilization")
	points := metric.SetEmptyGauge().DataPoints()
	for n := range series {
		p := points.AppendEmpty()
		p.SetDoubleValue(float64(n))
		p.Attributes().PutStr("exporter", fmt.Sprint("exporter-", n))
	}
	return md, points
}
