package storage

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func open(t *testing.T, directory string, maxSeries int) *Storage {
	t.Helper()
	s, err := Open(Config{
		Directory: directory, Retention: time.Hour, MaxSeries: maxSeries, IgnoreResourceAttributes: []string{"service.instance.id"},
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// gauge makes a gauge with a point for each attribute value.
func gauge(name string, at time.Time, series ...string) pmetric.Metrics {
	md := pmetric.NewMetrics()
	resource := md.ResourceMetrics().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "test")
	resource.Resource().Attributes().PutStr("service.instance.id", at.String())
	metric := resource.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName(name)
	points := metric.SetEmptyGauge().DataPoints()
	for i, s := range series {
		p := points.AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.SetDoubleValue(float64(i + 1))
		p.Attributes().PutStr("series.name", s)
	}
	return md
}

// stored returns the number of samples of each series, by its labels.
func stored(t *testing.T, s *Storage, name string) map[string]int {
	t.Helper()
	q, err := s.Querier(0, time.Now().Add(time.Hour).UnixMilli())
	require.NoError(t, err)
	defer q.Close()
	found := map[string]int{}
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	for set.Next() {
		n := 0
		for it := set.At().Iterator(nil); it.Next() != 0; {
			n++
		}
		found[set.At().Labels().String()] = n
	}
	require.NoError(t, set.Err())
	return found
}

func TestNamesAreKeptAndAttributesBecomeLabels(t *testing.T) {
	s := open(t, t.TempDir(), 10)
	now := time.Now()
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("otelcol.self.queue.size", now, "a")))
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("otelcol.self.queue.size", now.Add(time.Second), "a")))
	assert.Equal(t, map[string]int{labels.FromMap(map[string]string{
		"__name__": "otelcol.self.queue.size", "job": "test", "series.name": "a", "service.name": "test",
	}).String(): 2}, stored(t, s, "otelcol.self.queue.size"), "one series, although the instance ID differs")
}

func TestSeriesBeyondTheLimitAreRefusedAndCountedAndTheRestIsStored(t *testing.T) {
	s := open(t, t.TempDir(), 3)
	now := time.Now()
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", now, "a", "b", "c", "d", "e")))
	assert.Len(t, stored(t, s, "m"), 3)
	assert.Equal(t, Stats{Series: 3, Refused: 2}, s.Stats())
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", now.Add(time.Second), "a", "e")))
	assert.Equal(t, Stats{Series: 3, Refused: 3}, s.Stats(), "what is there goes on")

	// The engine's own series keep the state of rules.
	app := s.Appender(t.Context())
	_, err := app.Append(0, labels.FromStrings(model.MetricNameLabel, "ALERTS_FOR_STATE", "alertname", "x"), now.UnixMilli(), 1)
	require.NoError(t, err)
	require.NoError(t, app.Commit())
}

func TestASmallerLimitDoesNotStopTheNextStart(t *testing.T) {
	directory := t.TempDir()
	s := open(t, directory, 10)
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", time.Now(), "a", "b", "c", "d")))
	require.NoError(t, s.Close())
	s = open(t, directory, 2)
	assert.Equal(t, 4, sum(stored(t, s, "m")))
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("n", time.Now(), "a")))
	assert.EqualValues(t, 1, s.Stats().Refused)
}

func TestTheStateOfRulesCannotBeForged(t *testing.T) {
	s := open(t, t.TempDir(), 10)
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("ALERTS_FOR_STATE", time.Now(), "a")))
	assert.Empty(t, stored(t, s, "ALERTS_FOR_STATE"))
	assert.EqualValues(t, 1, s.Stats().Refused)
}

func TestWhatPrometheusHasNoFormForIsCountedAndNothingElseIsLost(t *testing.T) {
	s := open(t, t.TempDir(), 10)
	md := gauge("m", time.Now(), "a")
	delta := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().AppendEmpty()
	delta.SetName("d")
	delta.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	delta.Sum().DataPoints().AppendEmpty().SetIntValue(1)
	require.NoError(t, s.ConsumeMetrics(t.Context(), md), "the sender cannot do better by sending it again")
	assert.Len(t, stored(t, s, "m"), 1)
	assert.EqualValues(t, 1, s.Stats().Unconverted)
}

func TestLateSamplesAreCounted(t *testing.T) {
	s := open(t, t.TempDir(), 3)
	now := time.Now()
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", now, "a")))
	require.NoError(t, s.ConsumeMetrics(t.Context(), gauge("m", now.Add(-time.Minute), "a")))
	assert.EqualValues(t, 1, s.Stats().Late)
	assert.Equal(t, 1, sum(stored(t, s, "m")))
}

func TestSamplesAreThereAfterARestart(t *testing.T) {
	directory := t.TempDir()
	s := open(t, directory, 3)
	require.NoError(t, s.ConsumeMetrics(context.Background(), gauge("m", time.Now(), "a", "b")))
	require.NoError(t, s.Close())
	s = open(t, directory, 3)
	assert.Equal(t, 2, sum(stored(t, s, "m")))
	assert.EqualValues(t, 2, s.Stats().Series)
}

func TestADirectoryThatCannotBeOpenedIsNamed(t *testing.T) {
	_, err := Open(Config{
		Directory: "/dev/null/x", Retention: time.Hour, MaxSeries: 1, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	assert.ErrorContains(t, err, "/dev/null/x")
}

func sum(found map[string]int) int {
	n := 0
	for _, samples := range found {
		n += samples
	}
	return n
}
