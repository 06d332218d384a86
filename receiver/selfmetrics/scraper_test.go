package selfmetrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/metadata"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/source"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/selfmetrics/internal/sourcetest"
)

// telemetryEndpoint answers with a few metrics, or with what status says.
func telemetryEndpoint(t *testing.T, status *atomic.Int64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s := int(status.Load()); s != 0 {
			w.WriteHeader(s)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("# TYPE otelcol_exporter_queue_size gauge\notelcol_exporter_queue_size{exporter=\"x\",data_type=\"traces\"} 7\n"))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func startScraper(t *testing.T, endpoint string) (*selfScraper, *observer.ObservedLogs) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = endpoint
	cfg.Controller.CollectionInterval = time.Nanosecond // the tests scrape when they like
	set := receivertest.NewNopSettings(metadata.Type)
	core, logs := observer.New(zap.InfoLevel)
	set.Logger = zap.New(core)
	s := newScraper(cfg, set)
	require.NoError(t, s.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, s.shutdown(context.Background())) })
	return s, logs
}

func TestEverySourceIsInAScrape(t *testing.T) {
	s, _ := startScraper(t, telemetryEndpoint(t, &atomic.Int64{}))
	metrics, err := s.scrape(t.Context())
	require.NoError(t, err)
	values := sourcetest.ValuesOf(t, metrics)
	for _, name := range []string{"endpoint", "process", "runtime", "host"} {
		assert.EqualValues(t, 1, values["otelcol.self.scrape.up{source="+name+"}"], name)
		assert.Positive(t, values["otelcol.self.scrape.duration{source="+name+"}"], name)
	}
	assert.EqualValues(t, 7, values["otelcol.self.queue.size{exporter=x,signal=traces}"])
	assert.Positive(t, values["go.goroutine.count"])
	assert.Positive(t, values["process.memory.usage"])
	assert.Positive(t, values["otelcol.self.cpu.limit"])
	assert.Positive(t, values["otelcol.self.memory.utilization"])
	assert.Positive(t, values["system.memory.usage{system.memory.state=used}"])
}

func TestTheEndpointsFaultIsLoggedOnceAndTheOthersGoOn(t *testing.T) {
	const cannot, again = "Source of self metrics cannot be read; its metrics are missing until it can", "Source of self metrics is readable again"
	good := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("otelcol_exporter_queue_size{exporter=\"x\",data_type=\"traces\"} 7\n"))
	}
	for name, bad := range map[string]http.HandlerFunc{
		"absent": func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				_ = connection.Close()
			}
		},
		"failing": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"slow":    func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"garbled": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = w.Write([]byte("<html>\n"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var answer atomic.Pointer[http.HandlerFunc]
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) }))
			t.Cleanup(server.Close)
			s, logs := startScraper(t, server.URL)
			up := func(handler http.HandlerFunc) float64 {
				answer.Store(&handler)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second) // more than the other sources ever need
				defer cancel()
				metrics, _ := s.scrape(ctx)
				values := sourcetest.ValuesOf(t, metrics)
				for _, other := range []string{"process", "runtime", "host"} {
					assert.EqualValues(t, 1, values["otelcol.self.scrape.up{source="+other+"}"], other)
				}
				return values["otelcol.self.scrape.up{source=endpoint}"]
			}
			var messages []string
			for range 2 {
				assert.EqualValues(t, 1, up(good))
				for range 2 {
					assert.Zero(t, up(bad))
				}
				assert.EqualValues(t, 1, up(good))
			}
			for _, entry := range logs.All() {
				messages = append(messages, entry.Message)
			}
			assert.Equal(t, []string{cannot, again, cannot, again}, messages)
		})
	}
}

// hanging is a source that answers when it is told to.
type hanging struct {
	answer chan struct{}
	reads  atomic.Int64
}

func (h *hanging) Read(context.Context) source.Reading {
	h.reads.Add(1)
	<-h.answer
	return source.Reading{}
}

func TestASourceThatHangsHoldsUpNobodyAndIsNotAskedAgain(t *testing.T) {
	s, _ := startScraper(t, telemetryEndpoint(t, &atomic.Int64{}))
	h := &hanging{answer: make(chan struct{})}
	s.sources = append(s.sources, &sourceState{name: metadata.AttributeSourceHost, source: h})
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		metrics, err := s.scrape(ctx)
		cancel()
		require.ErrorContains(t, err, "no answer after")
		assert.Positive(t, metrics.DataPointCount(), "what the others found is there")
	}
	assert.EqualValues(t, 1, h.reads.Load())
	close(h.answer)
}

// TestASourceThatAnswersTooLate: what it found counts for the next scrape, where it is not old by then, as a second reading right
// behind it would have no time to tell rates of. Where it found nothing, it is read again.
func TestASourceThatAnswersTooLate(t *testing.T) {
	const deadline = 5 * time.Second
	for name, test := range map[string]struct {
		takes time.Duration // the first reading
		finds bool
		want  int // the reading that counts for the second scrape
		reads int
		// interval is 10 s where it is zero.
		interval time.Duration
	}{
		"during the next scrape":                     {11 * time.Second, true, 1, 1, 0},
		"during the next scrape, with nothing":       {11 * time.Second, false, 2, 2, 0},
		"shortly before the next scrape":             {9 * time.Second, true, 1, 1, 0},
		"shortly before the next, with nothing":      {9 * time.Second, false, 2, 2, 0},
		"long before the next scrape":                {6 * time.Second, true, 2, 2, 30 * time.Second},
		"not even by the end of the scrape after it": {time.Minute, true, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				interval := max(10*time.Second, test.interval)
				var reads atomic.Int64
				st := &sourceState{source: readFunc(func(context.Context) (r source.Reading) {
					read := reads.Add(1)
					r.Start = pcommon.Timestamp(read) //nolint:gosec // few
					if read > 1 || test.finds {
						r.Add(func(*metadata.MetricsBuilder, pcommon.Timestamp) {})
					}
					if read == 1 {
						time.Sleep(test.takes)
					}
					return r
				})}
				scrape := func() (timed, bool) {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					st.begin(ctx, interval/2)
					return st.await(ctx)
				}
				_, ok := scrape()
				assert.False(t, ok)
				time.Sleep(interval - deadline)
				reading, ok := scrape()
				assert.Equal(t, test.want > 0, ok)
				assert.EqualValues(t, test.want, reading.Start)
				assert.EqualValues(t, test.reads, reads.Load())
				time.Sleep(time.Minute) // for the reading that is still under way
			})
		})
	}
}

// TestAScrapeOnTheHeelsOfALateOneIsLeftOut, so that what piled up in the meantime is no leap of a rate.
func TestAScrapeOnTheHeelsOfALateOneIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScraper(createDefaultConfig().(*Config), receivertest.NewNopSettings(metadata.Type)) // every 10 s
		reads := 0
		s.sources = []*sourceState{{name: metadata.AttributeSourceHost, source: readFunc(func(context.Context) source.Reading {
			reads++
			return source.Reading{}
		})}}
		for _, step := range []struct {
			after time.Duration
			read  bool
		}{{0, true}, {18 * time.Second, true}, {2 * time.Second, false}, {10 * time.Second, true}, {5 * time.Second, true}} {
			time.Sleep(step.after)
			before := reads
			metrics, err := s.scrape(t.Context())
			require.NoError(t, err)
			assert.Equal(t, step.read, reads > before, "%v later", step.after)
			assert.Equal(t, step.read, metrics.DataPointCount() > 0, "%v later", step.after)
		}
	})
}

type readFunc func(context.Context) source.Reading

func (f readFunc) Read(ctx context.Context) source.Reading { return f(ctx) }

func TestTheReceiverEmitsAndStopsAtOnce(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Telemetry.Endpoint = telemetryEndpoint(t, &atomic.Int64{})
	cfg.Controller.InitialDelay = 0
	sink := &consumertest.MetricsSink{}
	r, err := NewFactory().CreateMetrics(t.Context(), receivertest.NewNopSettings(metadata.Type), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return sink.DataPointCount() > 50 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	require.NoError(t, r.Shutdown(t.Context()), "again")
}
