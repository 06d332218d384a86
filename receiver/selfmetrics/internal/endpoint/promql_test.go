package endpoint

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// counted is a Collector whose counters grow at random, begin anew, and are missing or no number in some scrapes.
type counted struct {
	random   *rand.Rand
	instance int
	series   []*countedSeries
}

type countedSeries struct {
	name, kind string
	labels     []string  // names and values in turn
	values     []float64 // of a histogram: cumulative counts by bucket; else one
	shown      bool
}

func newCounted(seed uint64) *counted {
	c := &counted{random: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // a test that can be repeated
	for _, id := range []string{"a", "b"} {
		c.add("otelcol_receiver_accepted_spans", "receiver", id)
		c.add("otelcol_receiver_refused_spans", "receiver", id)
		c.add("otelcol_exporter_sent_log_records", "exporter", id)
		c.add("otelcol_exporter_send_failed_log_records", "exporter", id)
		c.add("otelcol_exporter_pooledotlp_uncompressed_bytes", "exporter", id)
		c.add("otelcol_exporter_pooledotlp_wire_bytes", "exporter", id)
		c.add("otelcol_exporter_pooledotlp_retries", "exporter", id)
		for _, outcome := range []string{"accepted", "unavailable", "canceled"} {
			c.add("otelcol_exporter_pooledotlp_attempts", "exporter", id, "data_type", "logs", "outcome", outcome)
		}
		for _, signal := range []string{"traces", "logs"} {
			c.add("otelcol_exporter_pooledotlp_attempt_duration", "exporter", id, "data_type", signal)
		}
	}
	return c
}

func (c *counted) add(name string, set ...string) {
	s := &countedSeries{name: name, kind: "counter", labels: set, values: make([]float64, 1)}
	if strings.HasSuffix(name, "_duration") {
		s.kind, s.values = "histogram", make([]float64, len(seconds)+1)
	}
	c.series = append(c.series, s)
}

// step lets time pass. Gaps stay away from a restart: what was lost with the old process, and before the first scrape of the new
// one, nobody can know.
func (c *counted) step(mayRestart, mayGap bool) {
	restart := mayRestart && c.random.IntN(2) == 0
	if restart {
		c.instance++
	}
	for _, s := range c.series {
		// What begins anew is lower than before, bucket by bucket: otherwise Prometheus takes it for growth.
		if restart || c.random.IntN(12) == 0 {
			for i := range s.values {
				s.values[i] = math.Floor(s.values[i] * 0.3)
			}
		} else {
			grown := 0.0
			for i := range s.values {
				if c.random.IntN(3) > 0 {
					grown += float64(c.random.IntN(50))
				}
				s.values[i] += grown
			}
		}
		s.shown = !mayGap || c.random.IntN(6) > 0
	}
}

// exposition is what the endpoint answers with: of what is missing half is not a number.
func (c *counted) exposition() string {
	var b strings.Builder
	b.WriteString(gauge("target_info", fmt.Sprintf(`{service_instance_id="%d"} 1`, c.instance)))
	families := make(map[string][]*countedSeries)
	for _, s := range c.series {
		families[s.name] = append(families[s.name], s)
	}
	for name, series := range families {
		fmt.Fprintf(&b, "# TYPE %s %s\n", name, series[0].kind)
		for _, s := range series {
			var set []string
			for i := 0; i < len(s.labels); i += 2 {
				set = append(set, fmt.Sprintf("%s=%q", s.labels[i], s.labels[i+1]))
			}
			text := strings.Join(set, ",")
			switch {
			case s.kind == "histogram" && s.shown:
				counts := make([]int, len(s.values))
				for i, v := range s.values {
					counts[i] = int(v)
				}
				b.WriteString(histogramSeries(name, text, seconds, counts...))
			case s.kind == "counter" && s.shown:
				fmt.Fprintf(&b, "%s{%s} %v\n", name, text, s.values[0])
			case s.kind == "counter" && c.random.IntN(2) == 0:
				fmt.Fprintf(&b, "%s{%s} NaN\n", name, text)
			}
		}
	}
	return b.String()
}

// store writes what is shown into a Prometheus.
func (c *counted) store(t *testing.T, storage *teststorage.TestStorage, at time.Time) {
	t.Helper()
	appender := storage.Appender(t.Context())
	for _, s := range c.series {
		if !s.shown {
			continue
		}
		for i, v := range s.values {
			set := append([]string{model.MetricNameLabel, s.name}, s.labels...)
			if s.kind == "histogram" {
				le := "+Inf"
				if i < len(seconds) {
					le = fmt.Sprint(seconds[i])
				}
				set[1] += "_bucket"
				set = append(set, model.BucketLabel, le)
			}
			_, err := appender.Append(0, labels.FromStrings(set...), at.UnixMilli(), v)
			require.NoError(t, err)
		}
	}
	require.NoError(t, appender.Commit())
}

// since is the increase per second of the series that are there, since they were there last, to PromQL.
func since(selector string) string { return fmt.Sprintf("(irate(%[1]s[1h]) and %[1]s)", selector) }

// TestRatesRatiosAndQuantilesAreThoseOfPromQL plays scrapes at random to a Source and to Prometheus's engine, and compares every
// figure after every scrape.
func TestRatesRatiosAndQuantilesAreThoseOfPromQL(t *testing.T) {
	const interval = 10 * time.Second
	attempts, duration := "otelcol_exporter_pooledotlp_attempts", "otelcol_exporter_pooledotlp_attempt_duration_bucket"
	errors := func(bad, good string) string {
		bad, good = "sum("+since(bad)+")", "sum("+since(good)+")"
		return fmt.Sprintf("((%[1]s or vector(0)) / ((%[1]s or vector(0)) + (%[2]s or vector(0))))", bad, good)
	}
	sent := errors("otelcol_exporter_send_failed_log_records", "otelcol_exporter_sent_log_records")
	tried := errors(attempts+`{outcome="unavailable"}`, attempts+`{outcome="accepted"}`)
	received := errors("otelcol_receiver_refused_spans", "otelcol_receiver_accepted_spans")
	// The larger of two, of which either may be no number.
	worst := fmt.Sprintf("max((label_replace(%s, \"by\", \"items\", \"\", \"\") or label_replace(%s, \"by\", \"attempts\", \"\", \"\")) >= 0)", sent, tried)
	queries := map[string]string{
		"otelcol.self.throughput{direction=receive,signal=traces}":    "sum(" + since("otelcol_receiver_accepted_spans") + ")",
		"otelcol.self.throughput{direction=export,signal=logs}":       "sum(" + since("otelcol_exporter_sent_log_records") + ")",
		"otelcol.self.request.rate{direction=export}":                 "sum(" + since(attempts) + ")",
		"otelcol.self.retries{exporter=a}":                            since(`otelcol_exporter_pooledotlp_retries{exporter="a"}`),
		"otelcol.self.error.ratio{direction=receive,signal=traces}":   received,
		"otelcol.self.success.ratio{direction=receive,signal=traces}": "1 - " + received,
		"otelcol.self.error.ratio{direction=export,signal=logs}":      worst,
	}
	for _, id := range []string{"a", "b"} {
		is := fmt.Sprintf("{exporter=%q}", id)
		queries["otelcol.self.compression.ratio{exporter="+id+"}"] = "(" + since("otelcol_exporter_pooledotlp_uncompressed_bytes"+is) +
			" or (0 * " + since("otelcol_exporter_pooledotlp_wire_bytes"+is) + ")) / " + since("otelcol_exporter_pooledotlp_wire_bytes"+is)
		for _, q := range []string{"0.5", "0.95", "0.99"} {
			queries[fmt.Sprintf("otelcol.self.export.latency{exporter=%s,quantile=%s}", id, q)] = fmt.Sprintf(
				"histogram_quantile(%s, sum by (le) (%s))", q, since(duration+is))
		}
	}
	engine := promqltest.NewTestEngine(t, false, time.Second, 1_000_000)
	compared := make(map[string]int)
	for seed := range uint64(2) {
		c, storage := newCounted(seed), teststorage.New(t)
		s := newScripted(t)
		for scrape := range 60 {
			// Restarts in turn with gaps, and a scrape without either in between.
			c.step(scrape%8 == 2, scrape%8 > 3 && scrape%8 < 7)
			next := step{after: interval, body: c.exposition()}
			if c.random.IntN(2) == 0 {
				next.body, next.contentType = inProtobuf(t, next.body), protobufType
			}
			s.steps = []step{next}
			reading := s.Read(t.Context())
			require.Empty(t, reading.Faults)
			values := sourcetest.Values(t, reading)
			c.store(t, storage, s.now)
			for key, query := range queries {
				got, found := values[key]
				want, defined := ask(t, engine, storage, query, s.now)
				if !assert.Equal(t, defined, found, "seed %d, scrape %d: %s is %v, PromQL says %v to %s", seed, scrape, key, got, want, query) {
					return
				}
				if defined {
					compared[key]++
					assert.InDelta(t, want, got, 1e-9*math.Max(1, math.Abs(want)), "seed %d, scrape %d: %s, PromQL: %s", seed, scrape, key, query)
				}
			}
			for key, v := range values {
				assert.GreaterOrEqual(t, v, 0.0, key)
			}
		}
	}
	for key := range queries {
		assert.Greater(t, compared[key], 50, key)
	}
}

// ask returns false where PromQL has no answer, or none that is a number.
func ask(t *testing.T, engine *promql.Engine, storage *teststorage.TestStorage, query string, at time.Time) (float64, bool) {
	t.Helper()
	q, err := engine.NewInstantQuery(t.Context(), storage, nil, query, at)
	require.NoError(t, err, query)
	defer q.Close()
	result := q.Exec(t.Context())
	vector, err := result.Vector()
	require.NoError(t, err, query)
	require.LessOrEqual(t, len(vector), 1, query)
	if len(vector) == 0 || math.IsNaN(vector[0].F) || math.IsInf(vector[0].F, 0) {
		return 0, false
	}
	return vector[0].F, true
}
