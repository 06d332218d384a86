package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	prometheusrules "github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/storage"
)

// BenchmarkEvaluate evaluates 200 rules over 20,000 series, of which half fire: 10,000 active alerts.
func BenchmarkEvaluate(b *testing.B) {
	const rules, seriesEach = 200, 100
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, err := storage.Open(storage.Config{
		Directory: b.TempDir(), Retention: 2 * time.Hour, MaxSeries: 100_000, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	now := time.Now()
	var short []Rule
	md := pmetric.NewMetrics()
	metrics := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	for r := range rules {
		m := metrics.AppendEmpty()
		m.SetName(fmt.Sprint("metric.", r))
		points := m.SetEmptyGauge().DataPoints()
		for n := range seriesEach {
			p := points.AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(now))
			p.SetIntValue(int64(r % 2))
			p.Attributes().PutInt("series", int64(n))
		}
		short = append(short, Rule{Name: fmt.Sprint("Rule", r), Metric: m.Name(), Op: ">", Threshold: number(0), Severity: "warning",
			Annotations: map[string]string{"summary": "{{ $labels.series }} is {{ $value }}"}})
	}
	require.NoError(b, s.ConsumeMetrics(b.Context(), md))
	set, err := Load(Builtin{}, short, nil)
	require.NoError(b, err)
	alerts := 0
	engine, err := Start(Config{
		Storage: s, Rules: set, Interval: time.Hour, ExternalURL: &url.URL{}, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		Notify: func(_ context.Context, _ string, found ...*prometheusrules.Alert) { alerts += len(found) },
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, engine.Stop()) })
	group := engine.Groups()[0]
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		group.Eval(b.Context(), now.Add(time.Duration(n)*time.Second))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Equal(b, rules/2*seriesEach, activeOf(group))
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "heap-MB")
}

func activeOf(group *prometheusrules.Group) int {
	active := 0
	for _, rule := range group.AlertingRules() {
		active += rule.ActiveAlertsCount()
	}
	return active
}
