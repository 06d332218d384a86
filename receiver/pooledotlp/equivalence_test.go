package pooledotlp_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	exporter "github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/processor/adaptivebatch"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp"
)

// all is a backend of every signal.
type all struct {
	consumertest.TracesSink
	consumertest.MetricsSink
	consumertest.LogsSink
}

func (*all) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// items counts what a backend has, each span, data point and log record with everything around it.
func (a *all) items(t *testing.T) map[string]int {
	set := map[string]int{}
	for _, td := range a.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, span := range ss.Spans().All() {
					one := ptrace.NewTraces()
					r := one.ResourceSpans().AppendEmpty()
					rs.Resource().CopyTo(r.Resource())
					r.SetSchemaUrl(rs.SchemaUrl())
					s := r.ScopeSpans().AppendEmpty()
					ss.Scope().CopyTo(s.Scope())
					s.SetSchemaUrl(ss.SchemaUrl())
					span.CopyTo(s.Spans().AppendEmpty())
					b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(one)
					require.NoError(t, err)
					set[string(b)]++
				}
			}
		}
	}
	for _, ld := range a.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					one := plog.NewLogs()
					r := one.ResourceLogs().AppendEmpty()
					rl.Resource().CopyTo(r.Resource())
					r.SetSchemaUrl(rl.SchemaUrl())
					s := r.ScopeLogs().AppendEmpty()
					sl.Scope().CopyTo(s.Scope())
					s.SetSchemaUrl(sl.SchemaUrl())
					record.CopyTo(s.LogRecords().AppendEmpty())
					b, err := (&plog.ProtoMarshaler{}).MarshalLogs(one)
					require.NoError(t, err)
					set[string(b)]++
				}
			}
		}
	}
	for _, md := range a.AllMetrics() {
		for _, rm := range md.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					for i := range pointsOf(m) {
						one := pmetric.NewMetrics()
						r := one.ResourceMetrics().AppendEmpty()
						rm.Resource().CopyTo(r.Resource())
						r.SetSchemaUrl(rm.SchemaUrl())
						s := r.ScopeMetrics().AppendEmpty()
						sm.Scope().CopyTo(s.Scope())
						s.SetSchemaUrl(sm.SchemaUrl())
						c := s.Metrics().AppendEmpty()
						m.CopyTo(c)
						keepPoint(c, i)
						b, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(one)
						require.NoError(t, err)
						set[string(b)]++
					}
				}
			}
		}
	}
	return set
}

func pointsOf(m pmetric.Metric) int {
	one := pmetric.NewMetrics()
	m.CopyTo(one.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty())
	return one.DataPointCount()
}

// keepPoint removes all points of a metric but the i-th.
func keepPoint(m pmetric.Metric, i int) {
	n := -1
	other := func() bool { n++; return n != i }
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return other() })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(pmetric.NumberDataPoint) bool { return other() })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(pmetric.HistogramDataPoint) bool { return other() })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(pmetric.ExponentialHistogramDataPoint) bool { return other() })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(pmetric.SummaryDataPoint) bool { return other() })
	}
}

// startAll is the stock receiver for every signal.
func startAll(t *testing.T) (address string, got *all) {
	address, got = freeAddress(t), &all{}
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	unmarshal(t, cfg, map[string]any{"protocols": map[string]any{"grpc": map[string]any{"endpoint": address, "max_recv_msg_size_mib": 8}}})
	ctx, set := context.Background(), receivertest.NewNopSettings(f.Type())
	traces, err := f.CreateTraces(ctx, set, cfg, got)
	require.NoError(t, err)
	_, err = f.CreateMetrics(ctx, set, cfg, got)
	require.NoError(t, err)
	_, err = f.CreateLogs(ctx, set, cfg, got)
	require.NoError(t, err)
	run(t, traces)
	return address, got
}

// startPipelines runs receiver, adaptivebatch and exporter for every signal, as a Collector would.
func startPipelines(t *testing.T, decode, backend, compression string, batches map[string]any) (address string) {
	ctx := context.Background()
	ef, pf, rf := exporter.NewFactory(), adaptivebatch.NewFactory(), pooledotlp.NewFactory()
	ecfg, pcfg, rcfg := ef.CreateDefaultConfig(), pf.CreateDefaultConfig(), rf.CreateDefaultConfig()
	unmarshal(t, ecfg, map[string]any{
		"endpoint": backend, "tls": map[string]any{"insecure": true}, "compression": compression, "compression_min_size": 0,
	})
	unmarshal(t, pcfg, batches)
	address = freeAddress(t)
	unmarshal(t, rcfg, map[string]any{"decode": decode, "protocols": map[string]any{
		"grpc": map[string]any{"endpoint": address, "max_recv_msg_size_mib": 8},
	}})
	eset, pset, rset := exportertest.NewNopSettings(ef.Type()), processortest.NewNopSettings(pf.Type()), receivertest.NewNopSettings(rf.Type())

	te, err := ef.CreateTraces(ctx, eset, ecfg)
	require.NoError(t, err)
	tp, err := pf.CreateTraces(ctx, pset, pcfg, te)
	require.NoError(t, err)
	r, err := rf.CreateTraces(ctx, rset, rcfg, tp)
	require.NoError(t, err)
	me, err := ef.CreateMetrics(ctx, eset, ecfg)
	require.NoError(t, err)
	mp, err := pf.CreateMetrics(ctx, pset, pcfg, me)
	require.NoError(t, err)
	_, err = rf.CreateMetrics(ctx, rset, rcfg, mp)
	require.NoError(t, err)
	le, err := ef.CreateLogs(ctx, eset, ecfg)
	require.NoError(t, err)
	lp, err := pf.CreateLogs(ctx, pset, pcfg, le)
	require.NoError(t, err)
	_, err = rf.CreateLogs(ctx, rset, rcfg, lp)
	require.NoError(t, err)
	for _, c := range []component.Component{te, me, le, tp, mp, lp, r} {
		run(t, c)
	}
	return address
}

// TestWhatTheBackendDecodesIsTheSame sends requests of several sizes, at once, through both paths in every compression, and with batches
// that join, that split by items and that split by bytes: the backend has the same items, and they are those that were sent.
func TestWhatTheBackendDecodesIsTheSame(t *testing.T) {
	sizes := []int{1, 2, 9, 200}
	sent := &all{}
	for _, n := range sizes {
		require.NoError(t, sent.ConsumeTraces(t.Context(), testdata.GenerateTraces(n)))
		require.NoError(t, sent.ConsumeMetrics(t.Context(), testdata.GenerateMetrics(n)))
		require.NoError(t, sent.ConsumeLogs(t.Context(), testdata.GenerateLogs(n)))
		require.NoError(t, sent.ConsumeTraces(t.Context(), numbered(n*1000, n)))
	}
	want := sent.items(t)
	for name, batches := range map[string]map[string]any{
		"join":           {"send_batch_size": 5000, "send_batch_max_size": 0, "timeout": "50ms", "adaptive": false},
		"split by items": {"send_batch_size": 7, "send_batch_max_size": 7},
		"split by bytes": {"send_batch_max_bytes": 1500},
	} {
		for _, compression := range []string{"none", "gzip", "zstd", "snappy", "brotli"} {
			for _, decode := range []string{"true", "verified"} {
				t.Run(fmt.Sprintf("%s %s decode=%s", name, compression, decode), func(t *testing.T) {
					t.Parallel()
					backend, got := startAll(t)
					gateway := startPipelines(t, decode, backend, compression, maps.Clone(batches))
					cc, err := grpc.NewClient(gateway, grpc.WithTransportCredentials(insecure.NewCredentials()))
					require.NoError(t, err)
					defer cc.Close()
					var wg sync.WaitGroup
					for _, td := range sent.AllTraces() {
						wg.Go(func() {
							_, err := ptraceotlp.NewGRPCClient(cc).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
							assert.NoError(t, err)
						})
					}
					for _, md := range sent.AllMetrics() {
						wg.Go(func() {
							_, err := pmetricotlp.NewGRPCClient(cc).Export(context.Background(), pmetricotlp.NewExportRequestFromMetrics(md))
							assert.NoError(t, err)
						})
					}
					for _, ld := range sent.AllLogs() {
						wg.Go(func() {
							_, err := plogotlp.NewGRPCClient(cc).Export(context.Background(), plogotlp.NewExportRequestFromLogs(ld))
							assert.NoError(t, err)
						})
					}
					wg.Wait()
					assert.True(t, maps.Equal(want, got.items(t)), "what arrived is what was sent")
				})
			}
		}
	}
}
