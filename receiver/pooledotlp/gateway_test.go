package pooledotlp_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	exporter "github.com/otelcol-adaptive/otelcol-adaptive/exporter/pooledotlp"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/freeport"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp"
)

// freeAddress returns a loopback address that nobody else takes.
func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	return address
}

// run starts a component and stops it when the test ends.
func run(t testing.TB, c component.Component) {
	require.NoError(t, c.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, c.Shutdown(ctx))
	})
}

func unmarshal(t testing.TB, cfg component.Config, keys map[string]any) {
	require.NoError(t, confmap.NewFromStringMap(keys).Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
}

// startBackend is the stock receiver.
func startBackend(t testing.TB) (address string, got *consumertest.TracesSink) {
	address, got = freeAddress(t), &consumertest.TracesSink{}
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	unmarshal(t, cfg, map[string]any{"protocols": map[string]any{"grpc": map[string]any{"endpoint": address}}})
	r, err := f.CreateTraces(context.Background(), receivertest.NewNopSettings(f.Type()), cfg, got)
	require.NoError(t, err)
	run(t, r)
	return address, got
}

// startGateway runs receiver and exporter as a pipeline would.
func startGateway(t testing.TB, decode, backend, compression string) (address string) {
	ctx := context.Background()
	ef := exporter.NewFactory()
	ecfg := ef.CreateDefaultConfig()
	unmarshal(t, ecfg, map[string]any{
		"endpoint": backend, "tls": map[string]any{"insecure": true}, "compression": compression,
		"sending_queue": map[string]any{"enabled": false},
	})
	e, err := ef.CreateTraces(ctx, exportertest.NewNopSettings(ef.Type()), ecfg)
	require.NoError(t, err)
	run(t, e)

	address = freeAddress(t)
	rf := pooledotlp.NewFactory()
	rcfg := rf.CreateDefaultConfig()
	unmarshal(t, rcfg, map[string]any{"decode": decode, "protocols": map[string]any{"grpc": map[string]any{"endpoint": address}}})
	r, err := rf.CreateTraces(ctx, receivertest.NewNopSettings(rf.Type()), rcfg, e)
	require.NoError(t, err)
	run(t, r)
	return address
}

// numbered returns n spans whose names are first, first+1, and so on.
func numbered(first, n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range n {
		s := ss.Spans().AppendEmpty()
		s.SetName(fmt.Sprint(first + i))
		for a := range 10 {
			s.Attributes().PutStr(fmt.Sprintf("attribute.%d", a), fmt.Sprintf("value %d of span %d", a, first+i))
		}
	}
	return td
}

// arrived counts the spans by name.
func arrived(all []ptrace.Traces) map[string]int {
	count := map[string]int{}
	for _, td := range all {
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					count[s.Name()]++
				}
			}
		}
	}
	return count
}

func TestEverySpanPassesTheGatewayExactlyOnce(t *testing.T) {
	const callers, requests, spans = 8, 25, 40
	for _, decode := range []string{"true", "verified"} {
		for _, compression := range []string{"none", "zstd"} {
			t.Run("decode="+decode+" "+compression, func(t *testing.T) {
				backend, got := startBackend(t)
				gateway := startGateway(t, decode, backend, compression)
				var wg sync.WaitGroup
				for c := range callers {
					wg.Go(func() {
						cc, err := grpc.NewClient(gateway, grpc.WithTransportCredentials(insecure.NewCredentials()))
						if !assert.NoError(t, err) {
							return
						}
						defer cc.Close()
						for i := range requests {
							td := numbered((c*requests+i)*spans, spans)
							_, err := ptraceotlp.NewGRPCClient(cc).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
							assert.NoError(t, err)
						}
					})
				}
				wg.Wait()
				count := arrived(got.AllTraces())
				assert.Len(t, count, callers*requests*spans)
				for name, n := range count {
					if n != 1 {
						t.Errorf("span %s arrived %d times", name, n)
					}
				}
			})
		}
	}
}
