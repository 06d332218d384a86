package alertmanager

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"

	"github.com/otelcol-adaptive/otelcol-adaptive/extension/alertmanager/internal/metadata"
)

// figure returns the sum of a metric's values whose attributes include the given ones, and the count of them.
func figure(t *testing.T, test *componenttest.Telemetry, name string, with ...attribute.KeyValue) (sum float64, count int) {
	t.Helper()
	m, err := test.GetMetric("otelcol_alertmanager_" + name)
	if err != nil {
		return 0, 0
	}
	add := func(set attribute.Set, value float64) {
		for _, want := range with {
			if found, _ := set.Value(want.Key); found != want.Value {
				return
			}
		}
		sum, count = sum+value, count+1
	}
	switch data := m.Data.(type) {
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Count))
		}
	default:
		require.Failf(t, "unknown kind of metric", "%s: %T", name, data)
	}
	return sum, count
}

func startWithFigures(t *testing.T, keys map[string]any) (*Extension, *componenttest.Telemetry) {
	t.Helper()
	test := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, test.Shutdown(context.Background())) })
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(cfg))
	cfg.HTTP.NetAddr.Endpoint, cfg.Storage.Directory, cfg.EvaluationInterval = "127.0.0.1:0", t.TempDir(), time.Second
	set := extensiontest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = test.NewTelemetrySettings()
	created, err := NewFactory().Create(t.Context(), set, cfg)
	require.NoError(t, err)
	e := created.(*Extension)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e, test
}

func TestEveryFigureIsReported(t *testing.T) {
	answer := func(status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	keys := queueRule(nil)
	keys["rules"] = append(keys["rules"].([]any),
		map[string]any{"name": "Ambiguous", "expr": `label_replace({__name__=~"ambiguous.*"}, "__name__", "x", "", "") > 0`})
	keys["alertmanager"] = map[string]any{
		"route": map[string]any{"receiver": "all", "group_wait": "10ms"},
		"receivers": []any{map[string]any{"name": "all", "webhook_configs": []any{
			map[string]any{"url": answer(http.StatusOK)}, map[string]any{"url": answer(http.StatusBadRequest)},
		}}},
	}
	elsewhere := answer(http.StatusOK)
	keys["external"] = map[string]any{"alertmanagers": []any{elsewhere}}
	e, test := startWithFigures(t, keys)
	e.feed(t, "otelcol.self.queue.utilization", 0.9)
	e.feed(t, "ambiguous.a", 1)
	e.feed(t, "ambiguous.b", 1)
	until := time.Now().Add(time.Hour).Format(time.RFC3339)
	status, body := post(t, e.url("/api/v2/silences"), `{"matchers": [{"name": "a", "value": "b", "isRegex": false}], "startsAt": "`+
		time.Now().Format(time.RFC3339)+`", "endsAt": "`+until+`", "createdBy": "ann", "comment": "c"}`)
	require.Equal(t, http.StatusOK, status, body)
	get[[]any](t, e, "/api/v1/query_range?query=x&start=0&end=10&step=1")

	webhook := attribute.String("integration", "webhook")
	for name, with := range map[string][]attribute.KeyValue{
		"notifications":             {webhook, attribute.String("outcome", "delivered")},
		"notification_duration":     {webhook, attribute.String("outcome", "failed")},
		"notifications_undelivered": {webhook},
		"aggregation_groups":        nil,
		"alerts":                    nil,
		"incidents":                 nil,
		"silences":                  {attribute.String("state", "active")},
		"rule_evaluation_failures":  {attribute.String("rule_group", "configuration;configuration")},
		"rule_group_duration":       {attribute.String("rule_group", "builtin;builtin")},
		"external_sent":             {attribute.String("alertmanager", elsewhere+"/api/v2/alerts")},
		"storage_size":              nil,
		"query_cache":               nil,
	} {
		require.Eventually(t, func() bool {
			sum, _ := figure(t, test, name, with...)
			return sum > 0
		}, wait, 20*time.Millisecond, name)
	}
	series, _ := figure(t, test, "series")
	assert.InDelta(t, 3, series, 0)
	require.Eventually(t, func() bool {
		inMemory, _ := figure(t, test, "series_in_memory")
		return inMemory > series // with those of the engine
	}, wait, 20*time.Millisecond)
	interval, _ := figure(t, test, "rule_group_interval", attribute.String("rule_group", "builtin;builtin"))
	assert.InDelta(t, 1, interval, 0)
	_, operations := figure(t, test, "storage_failures")
	assert.Equal(t, 5, operations)

	content, err := os.ReadFile("metadata.yaml")
	require.NoError(t, err)
	var declared struct {
		Telemetry struct{ Metrics map[string]any }
	}
	require.NoError(t, yaml.Unmarshal(content, &declared))
	require.NotEmpty(t, declared.Telemetry.Metrics)
	for name := range declared.Telemetry.Metrics {
		if strings.HasPrefix(name, "alertmanager_cluster_") {
			continue // the gossip library never ends, which goleak would report
		}
		_, err := test.GetMetric("otelcol_" + name)
		assert.NoError(t, err)
	}
}

func TestWhatIsOffHasNoFigures(t *testing.T) {
	_, test := startWithFigures(t, nil)
	for name, want := range map[string]int{"cluster_members": 0, "external_queue": 0, "notifications_undelivered": 0, "series": 1} {
		_, count := figure(t, test, name)
		assert.Equal(t, want, count, name)
	}
}

func TestFiguresOfTheRegistryAreSummedUpByTheLabelsThatAreKept(t *testing.T) {
	registry := prometheus.NewRegistry()
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "failed"}, []string{"integration", "reason"})
	size, more := prometheus.NewGauge(prometheus.GaugeOpts{Name: "size"}), prometheus.NewGauge(prometheus.GaugeOpts{Name: "more"})
	registry.MustRegister(failed, size, more)
	failed.WithLabelValues("email", "a").Add(2)
	failed.WithLabelValues("email", "b").Add(3)
	failed.WithLabelValues("slack", "a").Add(0)
	size.Set(10)
	more.Set(5)
	u, own := &upstream{gatherer: registry}, attribute.String("extension", "x")
	assert.Equal(t, []reading{{attribute.NewSet(own, attribute.String("integration", "email")), 5}},
		u.read(own, source{name: "failed", labels: []string{"integration"}}))
	assert.Equal(t, []reading{{attribute.NewSet(own), 15}}, u.read(own, source{name: "size"}, source{name: "more"}))
	assert.ElementsMatch(t, []reading{{attribute.NewSet(own, attribute.String("operation", "a")), 10}, {attribute.NewSet(own, attribute.String("operation", "b")), 5}},
		u.read(own, source{name: "size", as: ofOperation("a")}, source{name: "more", as: ofOperation("b")}))
	assert.Empty(t, u.read(own, source{name: "none"}))
	size.Set(20)
	assert.InDelta(t, 10, u.read(own, source{name: "size"})[0].value, 0, "one collection, one look")
	u.gathered = u.gathered.Add(-sameCollection)
	assert.InDelta(t, 20, u.read(own, source{name: "size"})[0].value, 0)
}
