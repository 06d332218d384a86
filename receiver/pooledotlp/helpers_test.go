package pooledotlp

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/pdata/pprofile/pprofileotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.opentelemetry.io/collector/pdata/testdata"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"

	"github.com/otelcol-adaptive/otelcol-adaptive/internal/bytepath"
	"github.com/otelcol-adaptive/otelcol-adaptive/receiver/pooledotlp/internal/metadata"
)

// verifiedOnOthers is the byte path without the receiver's own servers.
const verifiedOnOthers DecodeMode = "verified:traces,metrics,logs"

// eachMode runs a behaviour test over both paths, and the byte path over both kinds of servers.
func eachMode(t *testing.T, test func(t *testing.T, decode DecodeMode)) {
	for _, m := range []DecodeMode{DecodeAlways, DecodeVerified, verifiedOnOthers} {
		t.Run("decode="+string(m), func(t *testing.T) { test(t, m) })
	}
}

// sink is a consumer of all signals that keeps what it gets, decoded, or refuses it.
type sink struct {
	consumertest.TracesSink
	consumertest.MetricsSink
	consumertest.LogsSink
	consumertest.ProfilesSink

	mu      sync.Mutex
	err     error
	ctx     context.Context // of the last call
	encoded int             // calls that carried bytes
	// lastTraces are the bytes of the last of them that carried traces.
	lastTraces []byte
}

func (s *sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) refuseWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// seen notes a call and returns the error to answer with.
func (s *sink) seen(ctx context.Context, encoded bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
	if encoded {
		s.encoded++
	}
	return s.err
}

func (s *sink) encodedCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encoded
}

func (s *sink) lastContext() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx
}

func (s *sink) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	r, err := bytepath.Traces(ctx, td)
	if err != nil {
		return err
	}
	if r != nil {
		if td, err = r.Traces(); err != nil {
			return err
		}
		s.mu.Lock()
		s.lastTraces = r.AppendTo(nil)
		s.mu.Unlock()
	}
	if err := s.seen(ctx, r != nil); err != nil {
		return err
	}
	return s.TracesSink.ConsumeTraces(ctx, td)
}

func (s *sink) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	r, err := bytepath.Metrics(ctx, md)
	if err != nil {
		return err
	}
	if r != nil {
		if md, err = r.Metrics(); err != nil {
			return err
		}
	}
	if err := s.seen(ctx, r != nil); err != nil {
		return err
	}
	return s.MetricsSink.ConsumeMetrics(ctx, md)
}

func (s *sink) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	r, err := bytepath.Logs(ctx, ld)
	if err != nil {
		return err
	}
	if r != nil {
		if ld, err = r.Logs(); err != nil {
			return err
		}
	}
	if err := s.seen(ctx, r != nil); err != nil {
		return err
	}
	return s.LogsSink.ConsumeLogs(ctx, ld)
}

func (s *sink) ConsumeProfiles(ctx context.Context, pd pprofile.Profiles) error {
	if err := s.seen(ctx, false); err != nil {
		return err
	}
	return s.ProfilesSink.ConsumeProfiles(ctx, pd)
}

func (s *sink) reset() {
	s.TracesSink.Reset()
	s.MetricsSink.Reset()
	s.LogsSink.Reset()
	s.ProfilesSink.Reset()
	s.refuseWith(nil)
}

// received returns the requests of a signal that the sink has kept.
func (s *sink) received(signal string) []any {
	var list []any
	switch signal {
	case "traces":
		for _, td := range s.AllTraces() {
			list = append(list, td)
		}
	case "metrics":
		for _, md := range s.AllMetrics() {
			list = append(list, md)
		}
	case "logs":
		for _, ld := range s.AllLogs() {
			list = append(list, ld)
		}
	case "profiles":
		for _, pd := range s.AllProfiles() {
			list = append(list, pd)
		}
	}
	return list
}

// sample is a request of one signal in all the forms it may be sent.
type sample struct {
	signal string
	path   string
	items  int64
	data   any
	proto  []byte
	json   []byte
	export func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error
}

type exportRequest interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

func samples(t testing.TB) []sample {
	td, md, ld, pd := testdata.GenerateTraces(2), testdata.GenerateMetrics(9), testdata.GenerateLogs(2), testdata.GenerateProfiles(2)
	tr, mr := ptraceotlp.NewExportRequestFromTraces(td), pmetricotlp.NewExportRequestFromMetrics(md)
	lr, pr := plogotlp.NewExportRequestFromLogs(ld), pprofileotlp.NewExportRequestFromProfiles(pd)
	list := []sample{
		{signal: "traces", items: int64(td.SpanCount()), path: "/v1/traces", data: td, export: func(ctx context.Context, cc *grpc.ClientConn, o ...grpc.CallOption) error {
			_, err := ptraceotlp.NewGRPCClient(cc).Export(ctx, tr, o...)
			return err
		}},
		{signal: "metrics", items: int64(md.DataPointCount()), path: "/v1/metrics", data: md, export: func(ctx context.Context, cc *grpc.ClientConn, o ...grpc.CallOption) error {
			_, err := pmetricotlp.NewGRPCClient(cc).Export(ctx, mr, o...)
			return err
		}},
		{signal: "logs", items: int64(ld.LogRecordCount()), path: "/v1/logs", data: ld, export: func(ctx context.Context, cc *grpc.ClientConn, o ...grpc.CallOption) error {
			_, err := plogotlp.NewGRPCClient(cc).Export(ctx, lr, o...)
			return err
		}},
		{signal: "profiles", items: int64(pd.SampleCount()), path: "/v1development/profiles", data: pd, export: func(ctx context.Context, cc *grpc.ClientConn, o ...grpc.CallOption) error {
			_, err := pprofileotlp.NewGRPCClient(cc).Export(ctx, pr, o...)
			return err
		}},
	}
	for i, r := range []exportRequest{tr, mr, lr, pr} {
		var err error
		list[i].proto, err = r.MarshalProto()
		require.NoError(t, err)
		list[i].json, err = r.MarshalJSON()
		require.NoError(t, err)
	}
	return list
}

// running is a started receiver and where it listens.
type running struct {
	*sharedReceiver
	grpc, http string
	sink       *sink
	// drops is for tests whose calls are broken off while their data arrives: grpc-go leaves such buffers to the garbage
	// collector.
	drops bool
}

// requireReceived holds what the sink has of a signal against the one request sent.
func (r *running) requireReceived(t *testing.T, s sample) {
	t.Helper()
	got := r.sink.received(s.signal)
	require.Len(t, got, 1)
	if pd, is := got[0].(pprofile.Profiles); is {
		// Encoding profiles replaces their strings by indices: compare what both encode to.
		b, err := pprofileotlp.NewExportRequestFromProfiles(pd).MarshalProto()
		require.NoError(t, err)
		require.Equal(t, s.proto, b)
		return
	}
	require.Equal(t, s.data, got[0])
}

// defaultConfig is the default with both servers on free ports.
func defaultConfig(decode DecodeMode) *Config {
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	cfg.Decode = decode
	if decode == verifiedOnOthers {
		cfg.GRPCServer, cfg.HTTPServer = ServerGRPCGo, ServerNetHTTP
	}
	cfg.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = "127.0.0.1:0"
	cfg.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = "127.0.0.1:0"
	return cfg
}

// create makes a receiver of all signals.
func create(t testing.TB, cfg *Config, set receiver.Settings, next *sink) *sharedReceiver {
	t.Helper()
	ctx := context.Background()
	r, err := createTraces(ctx, set, cfg, next)
	require.NoError(t, err)
	_, err = createMetrics(ctx, set, cfg, next)
	require.NoError(t, err)
	_, err = createLogs(ctx, set, cfg, next)
	require.NoError(t, err)
	_, err = createProfiles(ctx, set, cfg, next)
	require.NoError(t, err)
	return r.(*sharedReceiver)
}

// start runs a receiver of all signals until the test ends.
func start(t testing.TB, cfg *Config) *running {
	t.Helper()
	return startWith(t, cfg, nopSettings(), nopHost())
}

func startWith(t testing.TB, cfg *Config, set receiver.Settings, host component.Host) *running {
	t.Helper()
	next := &sink{}
	r := create(t, cfg, set, next)
	require.NoError(t, r.Start(context.Background(), host))
	run := &running{sharedReceiver: r, sink: next}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.NoError(t, r.Shutdown(ctx))
		if !run.drops {
			assert.Zero(t, r.receiver.buffers.Stats().InUse, "every buffer is returned")
		}
		assert.Zero(t, r.receiver.held.Load(), "no request is held")
	})
	if a := r.receiver.grpcAddress; a != nil {
		run.grpc = a.String()
	}
	if a := r.receiver.httpAddress; a != nil {
		run.http = a.String()
	}
	return run
}

func nopSettings() receiver.Settings {
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type) // and not another one each time
	return set
}

func nopHost() component.Host { return componenttest.NewNopHost() }
