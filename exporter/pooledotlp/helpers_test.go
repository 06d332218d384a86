package pooledotlp

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/receiver/xreceiver"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/attempt"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/freeport"
	"github.com/otelcol-adaptive/otelcol-adaptive/internal/wire"
)

// newConfig reads YAML keys over the defaults, and requires the result to be valid.
func newConfig(t testing.TB, keys map[string]any) *Config {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	base := map[string]any{"tls": map[string]any{"insecure": true}}
	for k, v := range keys {
		base[k] = v
	}
	require.NoError(t, confmap.NewFromStringMap(base).Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	return cfg
}

// statusHost is a host that keeps the reported status events.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func newStatusHost() *statusHost { return &statusHost{Host: componenttest.NewNopHost()} }

func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *statusHost) statuses() []componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []componentstatus.Status
	for _, e := range h.events {
		out = append(out, e.Status())
	}
	return out
}

func startComponent(t testing.TB, c component.Component, host component.Host) {
	t.Helper()
	require.NoError(t, c.Start(context.Background(), host))
	t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
}

// measuredSettings come with the telemetry that the exporter records.
func measuredSettings(t testing.TB) (exporter.Settings, *componenttest.Telemetry) {
	t.Helper()
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := exportertest.NewNopSettings(NewFactory().Type())
	set.TelemetrySettings = tel.NewTelemetrySettings()
	return set, tel
}

func newTracesExporter(t testing.TB, set exporter.Settings, cfg *Config) exporter.Traces {
	t.Helper()
	e, err := NewFactory().CreateTraces(context.Background(), set, cfg)
	require.NoError(t, err)
	return e
}

func newProfilesExporter(t testing.TB, set exporter.Settings, cfg *Config) xexporter.Profiles {
	t.Helper()
	e, err := NewFactory().(xexporter.Factory).CreateProfiles(context.Background(), set, cfg)
	require.NoError(t, err)
	return e
}

func startTracesExporter(t testing.TB, keys map[string]any) exporter.Traces {
	t.Helper()
	e := newTracesExporter(t, exportertest.NewNopSettings(NewFactory().Type()), newConfig(t, keys))
	startComponent(t, e, componenttest.NewNopHost())
	return e
}

// startReceiver starts a stock otlp receiver on loopback.
func startReceiver(t testing.TB, edit func(*otlpreceiver.Config)) (endpoint string, sink *signalSinks) {
	t.Helper()
	endpoint, _, sink = startReceivers(t, edit)
	return endpoint, sink
}

// startReceivers starts a stock otlp receiver with gRPC and HTTP on loopback.
func startReceivers(t testing.TB, edit func(*otlpreceiver.Config)) (grpcEndpoint, httpURL string, sink *signalSinks) {
	t.Helper()
	return startReceiversIn(t, componenttest.NewNopHost(), edit)
}

func startReceiversIn(t testing.TB, host component.Host, edit func(*otlpreceiver.Config)) (grpcEndpoint, httpURL string, sink *signalSinks) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	grpcEndpoint, httpEndpoint := freeAddress(t), freeAddress(t)
	cfg.Protocols.GRPC.GetOrInsertDefault().NetAddr = confignet.AddrConfig{Endpoint: grpcEndpoint, Transport: confignet.TransportTypeTCP}
	cfg.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr = confignet.AddrConfig{Endpoint: httpEndpoint, Transport: confignet.TransportTypeTCP}
	if edit != nil {
		edit(cfg)
	}
	set := receivertest.NewNopSettings(factory.Type())
	sink = &signalSinks{}
	tr, err := factory.CreateTraces(context.Background(), set, cfg, &sink.traces)
	require.NoError(t, err)
	mr, err := factory.CreateMetrics(context.Background(), set, cfg, &sink.metrics)
	require.NoError(t, err)
	lr, err := factory.CreateLogs(context.Background(), set, cfg, &sink.logs)
	require.NoError(t, err)
	pr, err := factory.(xreceiver.Factory).CreateProfiles(context.Background(), set, cfg, &sink.profiles)
	require.NoError(t, err)
	for _, r := range []receiver.Traces{tr, mr, lr, pr} {
		startComponent(t, r, host)
	}
	return grpcEndpoint, "http://" + httpEndpoint, sink
}

type signalSinks struct {
	traces   consumertest.TracesSink
	metrics  consumertest.MetricsSink
	logs     consumertest.LogsSink
	profiles consumertest.ProfilesSink
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	return address
}

// backendFunc is a scripted OTLP backend for traces.
type backendFunc func(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error)

type tracesBackend struct {
	ptraceotlp.UnimplementedGRPCServer
	export backendFunc
}

func (b *tracesBackend) Export(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	return b.export(ctx, r)
}

// startBackend serves a scripted backend on loopback.
func startBackend(t testing.TB, export backendFunc, options ...grpc.ServerOption) (endpoint string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveBackend(t, listener, export, options...)
	return listener.Addr().String()
}

func serveBackend(t testing.TB, listener net.Listener, export backendFunc, options ...grpc.ServerOption) *grpc.Server {
	t.Helper()
	server := grpc.NewServer(options...)
	ptraceotlp.RegisterGRPCServer(server, &tracesBackend{export: export})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return server
}

func accept(context.Context, ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	return ptraceotlp.NewExportResponse(), nil
}

// observed is the context of a caller that is a queue itself, and the attempts it is told about.
func observed(ctx context.Context) (context.Context, *attempts) {
	a := &attempts{}
	return attempt.NewContext(ctx, a.add), a
}

type attempts struct {
	mu   sync.Mutex
	list []attempt.Attempt
}

func (a *attempts) add(x attempt.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, x)
}

func (a *attempts) outcomes() []attempt.Outcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []attempt.Outcome
	for _, x := range a.list {
		out = append(out, x.Outcome)
	}
	return out
}

// spans makes traces with n distinguishable spans, big enough to be compressed when n is 20 or more.
func spans(n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "checkout")
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range n {
		s := ss.Spans().AppendEmpty()
		s.SetName(fmt.Sprintf("span %d", i))
		s.SetTraceID([16]byte{1, byte(i), byte(i >> 8)})
		s.SetSpanID([8]byte{2, byte(i), byte(i >> 8)})
		s.Attributes().PutStr("http.request.method", "GET")
		s.Attributes().PutInt("number", int64(i))
	}
	return td
}

func dataPoints(n int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("requests")
	gauge := m.SetEmptyGauge()
	for i := range n {
		dp := gauge.DataPoints().AppendEmpty()
		dp.SetIntValue(int64(i))
		dp.Attributes().PutStr("path", fmt.Sprintf("/item/%d", i))
	}
	return md
}

func logRecords(n int) plog.Logs {
	ld := plog.NewLogs()
	sl := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for i := range n {
		sl.LogRecords().AppendEmpty().Body().SetStr(fmt.Sprintf("line %d of a log", i))
	}
	return ld
}

// samples makes profiles of one process with n samples, each with a stack of its own.
func samples(process string, n int) pprofile.Profiles {
	pd := pprofile.NewProfiles()
	d := pd.Dictionary()
	d.StringTable().Append("", "cpu", "nanoseconds")
	d.MappingTable().AppendEmpty()
	d.LinkTable().AppendEmpty()
	d.AttributeTable().AppendEmpty()
	d.FunctionTable().AppendEmpty()
	d.LocationTable().AppendEmpty()
	d.StackTable().AppendEmpty()
	rp := pd.ResourceProfiles().AppendEmpty()
	rp.Resource().Attributes().PutStr("service.name", process)
	p := rp.ScopeProfiles().AppendEmpty().Profiles().AppendEmpty()
	p.SampleType().SetTypeStrindex(1)
	p.SampleType().SetUnitStrindex(2)
	for i := range n {
		d.StringTable().Append(fmt.Sprintf("%s.function%d", process, i))
		d.FunctionTable().AppendEmpty().SetNameStrindex(int32(d.StringTable().Len() - 1))
		d.LocationTable().AppendEmpty().Lines().AppendEmpty().SetFunctionIndex(int32(d.FunctionTable().Len() - 1))
		d.StackTable().AppendEmpty().LocationIndices().Append(int32(d.LocationTable().Len() - 1))
		s := p.Samples().AppendEmpty()
		s.SetStackIndex(int32(d.StackTable().Len() - 1))
		s.Values().Append(int64(i))
	}
	return pd
}

func wireTraces(t testing.TB, td ptrace.Traces) *wire.Request {
	t.Helper()
	w, err := wire.FromTraces(td, nopBuffers)
	require.NoError(t, err)
	return w
}

var nopBuffers = mem.NopBufferPool{}

// sumOf adds up the data points of a counter or gauge.
func sumOf(t testing.TB, tel *componenttest.Telemetry, name string) int64 {
	t.Helper()
	m, err := tel.GetMetric(name)
	require.NoError(t, err)
	var total int64
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, dp := range data.DataPoints {
			total += dp.Value
		}
	case metricdata.Gauge[int64]:
		for _, dp := range data.DataPoints {
			total += dp.Value
		}
	default:
		t.Fatalf("%s is a %T", name, data)
	}
	return total
}
